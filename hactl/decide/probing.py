"""Synthetic checks: what is asked, by whom, and when. Pure.

A service is probed through an address that a group has, by the live nodes that do not have it: what they see is what
clients see, the way there included. They take turns, so that the service is asked once in each interval, whatever their
number. Turns are counted by the wall clock; clocks that differ make turns uneven, nothing worse.
"""

from __future__ import annotations

import functools
import ipaddress
import zlib
from collections.abc import Iterator

from election.reading import ReadView
from hactl.model.cluster import ClusterSpec
from hactl.model.resources import VipSpec
from hactl.model.service import ServiceSpec


def target(service: ServiceSpec, spec: ClusterSpec) -> str:
    """ADDRESS:PORT that is asked: the probe's `bind`, else the first bind whose address is a VIP; "" if none is."""
    named = service.options.probe.bind if service.options.probe else ""
    vips = {address for address, _ in _vips(spec)}
    for bind in [named] if named else service.binds:
        address = _ip(split(bind)[0])
        if address and (named or address in vips):
            return _first_port(bind)
    return ""


def probers(view: ReadView, spec: ClusterSpec, target: str) -> list[str]:
    """The live nodes that do not have the target's address, in the order of their turns."""
    if not target:
        return []
    address = _ip(split(target)[0])
    groups = [group for vip, group in _vips(spec) if vip == address]
    holding = {
        name
        for group in groups if (ownership := view.groups.get(group))
        for name in (ownership.record.node, *(holder.node for holder in ownership.record.holders))
        if ownership.record.state != "released"
    }  # fmt: skip
    return sorted(node.name for node in spec.nodes if node.name in view.sessions and node.name not in holding)


def next_turn(now_s: float, interval_s: float, service: str, place: int, nodes: int) -> float:
    """When (wall time, after `now_s`) it is the turn of the node at `place` of `nodes`. Services have their turns at
    different moments of the interval."""
    round_s = interval_s * nodes
    offset = interval_s * place + interval_s * (zlib.crc32(service.encode()) % 1000) / 1000
    return now_s + round_s - (now_s - offset) % round_s


def split(bind: str) -> tuple[str, str]:
    """Address, without brackets, and port or range of ports of a bind; ("", "") of what has none."""
    address, colon, port = bind.rpartition(":")
    return (address.strip("[]"), port) if colon and port[:1].isdecimal() else ("", "")


def _first_port(bind: str) -> str:
    address, _, ports = bind.rpartition(":")
    return f"{address}:{ports.partition('-')[0]}"


def _vips(spec: ClusterSpec) -> Iterator[tuple[str, str]]:
    """Address and group."""
    for group in spec.groups:
        for resource in group.resources:
            if isinstance(resource, VipSpec):
                yield _ip(resource.options.address.partition("/")[0]), group.name


@functools.lru_cache(maxsize=512)
def _ip(address: str) -> str:
    """As all spell it; "" of what is no address."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return ""
