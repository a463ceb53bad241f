"""HAProxy as a part of a group: one group at most may have it, and it must be able to bind where that runs."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface

from hactl.config.errors import KeyPath, show_path
from hactl.config.fields import Address
from hactl.config.parts import GroupPart, Parts
from hactl.config.rules.findings import Finding
from hactl.config.rules.services import all_binds


def balancer_findings(parts: Parts) -> Iterator[Finding]:
    """The problems of HAProxy in a group."""
    having = [
        (group, path, resource.name) for group, path, resource in parts.resources() if resource.haproxy is not None
    ]
    if not having:
        return
    first, first_path, name = having[0]
    for _, path, _ in having[1:]:
        yield Finding(
            (*path, "haproxy"),
            f"there is one HAProxy on a node, and a group has it already: {show_path(first_path)}",
            "leave it out here",
        )
    if not parts.data.get("services"):
        yield Finding((*first_path, "haproxy"), "there is no service for it", "add `services`, or leave it out")
    for path, bind, socket in all_binds(parts):
        if not socket.address.is_unspecified:
            yield from _can_bind(parts, first, name, path, bind, socket.address)


def _can_bind(
    parts: Parts, having: GroupPart, name: str, path: KeyPath, bind: str, address: Address
) -> Iterator[Finding]:
    """No address of another node has to be bound by a HAProxy that starts after its group's addresses."""
    names = [resource.name for _, resource in having.resources]
    for group, _, resource in parts.resources():
        if resource.vip is None or ip_interface(resource.vip.address).ip != address:
            continue
        if group is not having:
            yield Finding(
                path,
                f"{bind} is of group `{group.name}`, but HAProxy runs where group `{having.name}` does",
                f"move the address to group `{having.name}`, or have HAProxy on every node by taking `{name}` out",
            )
        elif names.index(resource.name) > names.index(name):
            yield Finding(
                path,
                f"group `{having.name}` starts `{name}`, which is to bind {bind}, before the address `{resource.name}`",
                f"put `{resource.name}` before `{name}`",
            )
        return
    for _, node in parts.nodes:
        if ip_address(node.address) == address and (having.settings is None or having.settings.nodes != [node.name]):
            yield Finding(
                path,
                f"{bind} is {node.name}'s own, but HAProxy runs where group `{having.name}` does",
                f"bind an address of group `{having.name}`",
            )
