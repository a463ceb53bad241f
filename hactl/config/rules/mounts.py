"""The rules for file systems: which group may have one, each in one place only, and in an order that can be mounted."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import combinations
from typing import NamedTuple

from hactl.config.errors import KeyPath
from hactl.config.parts import GroupPart, Parts
from hactl.config.resources.mount import Mount
from hactl.config.rules.findings import Finding, twice


class _Placed(NamedTuple):
    group: GroupPart
    path: KeyPath
    name: str
    mount: Mount

    @property
    def on_block_device(self) -> bool:
        return bool(self.mount.made().on_block_device)


def mount_findings(parts: Parts) -> Iterator[Finding]:
    """All of them."""
    placed = [
        _Placed(group, (*path, "mount"), resource.name, resource.mount)
        for group, path, resource in parts.resources()
        if resource.mount is not None
    ]
    for here in placed:
        yield from _must_be_fenced(here)
    yield from _held_twice(placed)
    for first, second in combinations(placed, 2):
        yield from _one_below_another(first, second)
    for group in parts.groups:
        yield from _used_before_it_is_mounted(group)


def _must_be_fenced(here: _Placed) -> Iterator[Finding]:
    settings = here.group.settings
    if settings is None or not here.on_block_device or "fencing" in here.group.unsound:
        return
    if settings.fencing != "required":
        yield Finding(
            here.path,
            f"`{here.name}` is on the block device {here.mount.device}, and group `{here.group.name}` has `fencing: "
            f"{settings.fencing}`: two nodes that mount a file system at one time destroy it, and a node that hangs "
            "would be one of them",
            "give the group `fencing: required`",
        )


def _held_twice(placed: list[_Placed]) -> Iterator[Finding]:
    held: list[tuple[KeyPath, Hashable, str]] = []
    for here in placed:
        if here.on_block_device:
            held.append(((*here.path, "device"), ("device", here.mount.device), f"device {here.mount.device}"))
        held.append(((*here.path, "directory"), ("at", here.mount.directory), f"mount point {here.mount.directory}"))
    yield from twice(held, "let one resource have it")


def _one_below_another(first: _Placed, second: _Placed) -> Iterator[Finding]:
    """Something is mounted below a mount only after that, and in the same group: else it is hidden, or holds it."""
    if second.mount.directory.startswith(f"{first.mount.directory}/"):
        if first.group is not second.group:
            yield Finding(
                (*second.path, "directory"),
                f"{second.mount.directory} is below {first.mount.directory} of group `{first.group.name}`: each would "
                "hide the other, or keep it from being unmounted",
                "put both into one group, or give it another directory",
            )
    elif first.mount.directory.startswith(f"{second.mount.directory}/"):
        same = first.group is second.group
        yield Finding(
            (*second.path, "directory"),
            f"{second.mount.directory} is above {first.mount.directory}, which "
            + (
                f"`{first.name}` mounts before it: it would hide that" if same else f"group `{first.group.name}` mounts"
            ),
            f"put `{second.name}` before `{first.name}`" if same else f"put both into one group, `{second.name}` first",
        )


def _used_before_it_is_mounted(group: GroupPart) -> Iterator[Finding]:
    """A file is put below a mount point before there is something mounted on it."""
    for (path, earlier), (_, later) in combinations(group.resources, 2):
        if earlier.manifest is None or later.mount is None:
            continue
        if f"{earlier.manifest.directory.rstrip('/')}/".startswith(f"{later.mount.directory}/"):
            yield Finding(
                (*path, "manifest", "directory"),
                f"{earlier.manifest.directory} is in the file system of `{later.name}`, which is mounted later",
                f"put `{later.name}` before `{earlier.name}`",
            )
