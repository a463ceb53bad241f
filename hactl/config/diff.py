"""The changes that a new configuration makes, and those of them that are refused while groups run. Pure.

A revision that deletes a group or moves a resource between groups is refused unless the group is `released`: otherwise
no node would know which stop to wait for before it starts the resource (docs/configuration.md, *Checking and
applying*).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from ipaddress import ip_interface
from typing import Any, Literal, NamedTuple

from fencing.topology import SecretFile, Topology
from hactl.decide.timing import format_ms
from hactl.model.cluster import ClusterSpec, GroupSpec
from hactl.model.options import plain
from hactl.model.resources import OCF_DERIVED, HaproxySpec, PromoteSpec, ResourceSpec, SystemdSpec, VipSpec

# Lists whose order matters: the nodes by preference, the resources by start. The order of groups does not.
_ORDERED = ("nodes", "resources")


class Change(NamedTuple):
    """One change. `path` goes by names: `groups.vip.resources.address.options.interface`. For `reordered`,
    `old` and `new` are the names in their order."""

    action: Literal["added", "removed", "changed", "reordered"]
    path: str
    old: Any = None
    new: Any = None

    def __str__(self) -> str:
        match self.action:
            case "added":
                return f"+ {self.path}{_shown(self.path, self.new)}"
            case "removed":
                return f"- {self.path}{_shown(self.path, self.old)}"
            case _:
                old, new = (_value(self.path, value) for value in (self.old, self.new))
                return f"~ {self.path}: {old} -> {new}"


def diff(old: ClusterSpec, new: ClusterSpec) -> list[Change]:
    """All that differs; empty when both mean the same."""
    return list(_compare(_tree(old), _tree(new), ()))


def guarded_groups(old: ClusterSpec, new: ClusterSpec) -> dict[str, list[str]]:
    """The groups that must be released before `new` may replace `old`, each with the reasons.

    Going from `fencing: required` to `lease` is among them: the owner was started under the promise that
    nothing is assumed of it when it is silent.
    """
    reasons: dict[str, list[str]] = {}
    for group in old.exclusive:
        successor = new.group(group.name)
        grounds = [] if successor else ["it is deleted"]
        grounds += [f"`{held}` moves to group `{to}`" for (_, held), to in _moved(old, new, group)]
        if successor and (group.fencing, successor.fencing) == ("required", "lease"):
            grounds.append("it goes from `fencing: required` to `lease`")
        if successor and successor.run == "all":
            grounds.append("it goes from `run: one` to `all`")
        if grounds:
            reasons[group.name] = grounds
    return reasons


def refusals(old: ClusterSpec, new: ClusterSpec, ownerships: Mapping[str, str]) -> list[str]:
    """Why `new` may not replace `old` now; empty: it may. `ownerships`: the state of every group that has an
    ownership record."""
    refused = []
    for group, reasons in guarded_groups(old, new).items():
        state = ownerships.get(group, "released")
        if state != "released":
            refused.append(
                f"group `{group}` is {state}, not released, and {' and '.join(reasons)}: first apply the "
                "configuration in use with `enabled: false` for it, and wait until it is released"
            )
    return [*refused, *_clones_that_become_exclusive(old, new)]


def _clones_that_become_exclusive(old: ClusterSpec, new: ClusterSpec) -> Iterator[str]:
    """Nodes take up a configuration one after the other: what is on every node would still run on one when another owns
    it."""
    for clone in old.clones:
        successor = new.group(clone.name)
        grounds = ["it goes from `run: all` to `one`"] if successor and successor.run == "one" else []
        for (kind, held), to in _moved(old, new, clone):
            if new.exclusive_group(to) is not None:
                grounds.append(f"its {kind} `{held}` moves to group `{to}`, which runs on one node at a time")
        if grounds:
            yield (
                f"group `{clone.name}` runs on every node, and {' and '.join(grounds)}: first apply the configuration "
                "in use without it, wait until `hactl status` shows that no node has anything of it, and then apply "
                "this one"
            )


def _moved(old: ClusterSpec, new: ClusterSpec, group: GroupSpec) -> Iterator[tuple[tuple[str, str], str]]:
    """The resources, each by its kind and what it manages, that `group` has now and another group has in `new`."""
    before, after = _holdings(old), _holdings(new)
    for name, held in before:
        if name != group.name or (name, held) in after:
            continue
        for other, same in after:
            if same == held and (other, same) not in before:
                yield held, other


def _holdings(spec: ClusterSpec) -> list[tuple[str, tuple[str, str]]]:
    return [(group.name, _managed(resource)) for group in spec.groups for resource in group.resources]


def _managed(resource: ResourceSpec) -> tuple[str, str]:
    """The object that a resource manages, whatever its name is; commands are known by their name only."""
    match resource:
        case VipSpec():
            return "vip", str(ip_interface(resource.options.address).ip)
        case SystemdSpec():
            return "systemd", resource.options.unit
        case HaproxySpec():
            return "haproxy", "haproxy"
        case PromoteSpec():
            return "promote", resource.options.of
        case _:
            return resource.kind, resource.name


def _tree(spec: ClusterSpec) -> dict[str, Any]:
    """The cluster as nested mappings, lists of named things by their names."""
    tree: dict[str, Any] = plain(spec)
    tree["fencing"] = _fencing(spec.fencing)
    tree["nodes"] = {node["name"]: node for node in tree["nodes"]}
    for kind in ("services", "groups", "hooks", "health"):
        tree[kind] = {part["name"]: part for part in tree[kind]}
    for group in tree["groups"].values():
        for resource in group["resources"]:
            # Other parts of the configuration, in which the change is shown.
            for name in (*OCF_DERIVED, "instance"):
                resource["options"].pop(name, None)
        group["resources"] = {resource["name"]: resource for resource in group["resources"]}
    return tree


def _fencing(topology: Topology) -> dict[str, Any]:
    """Levels and secrets as texts: they are compared as a whole."""
    tree = asdict(topology)
    for name, device in topology.devices.items():
        shown = {
            key: f"file {option.path}" if isinstance(option, SecretFile) else option
            for key, option in device.options.items()
        }
        tree["devices"][name]["options"] = shown
    for name, node in topology.nodes.items():
        tree["nodes"][name]["levels"] = [level.words for level in node.levels]
    return tree


def _compare(old: Any, new: Any, path: tuple[str, ...]) -> Iterator[Change]:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if _plain(old) != _plain(new):
            yield Change("changed", ".".join(path), old, new)
        return
    for name in (*old, *(name for name in new if name not in old)):
        here = (*path, name)
        if name not in new:
            yield Change("removed", ".".join(here), old=old[name])
        elif name not in old:
            yield Change("added", ".".join(here), new=new[name])
        else:
            yield from _compare(old[name], new[name], here)
    if path and path[-1] in _ORDERED:
        before, after = [name for name in old if name in new], [name for name in new if name in old]
        if before != after:
            yield Change("reordered", ".".join(path), before, after)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _value(path: str, value: Any) -> str:
    if path.endswith("_ms") and isinstance(value, int | float):
        return format_ms(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(str(element) for element in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(path: str, value: Any) -> str:
    return "" if isinstance(value, dict) else f": {_value(path, value)}"
