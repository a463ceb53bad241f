"""`preset: NAME` in a cluster.yaml: the preset's settings, overridden by those that are given beside it. Pure.

This is done on the tree, before anything is checked. A problem with a value of the file is reported at its place, since
no path changes. The rules: a mapping is merged key by key; a list or a single value replaces; a key that is left empty
removes the preset's. The `resources` of a group are matched by name: those of the file come first, in its order, then
the preset's others.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from hactl.config.errors import KeyPath, closest
from hactl.config.presets import Kind, Preset, all_names, find, presets
from hactl.config.yaml_tree import Tree

# The settings of a check that depend on its kind: a check of another kind keeps only the preset's times.
_OF_KIND = ("method", "path", "host", "expect_status", "user", "role", "port", "address", "tls", "sni", "lines")

_KINDS: Mapping[str, Kind] = {"services": "service", "groups": "group"}


def expand_presets(tree: Tree) -> None:
    """Put the presets of all services and groups into `tree`. A preset that cannot be used is a problem of the tree,
    and the path is kept in `unresolved`."""
    if not isinstance(tree.data, dict):
        return
    for section, kind in _KINDS.items():
        listed = tree.data.get(section)
        if not isinstance(listed, list):
            continue
        for index, entry in enumerate(listed):
            if not isinstance(entry, dict) or entry.get("preset") in (None, ""):
                continue
            path: KeyPath = (section, index)
            preset, (problem, hint) = _chosen(entry["preset"], kind)
            if preset is None:
                tree.problems.append(tree.problem((*path, "preset"), problem, hint))
                tree.unresolved.add(path)
            else:
                listed[index] = resolved(preset, entry)


def resolved(preset: Preset, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the service or group that names `preset`, overridden by those that it gives."""
    base: dict[str, Any] = {"name": preset.name, **preset.settings}
    if preset.kind == "group":
        given = {**given, "resources": _by_name(base["resources"], given.get("resources"))}
        return merged(base, given)
    if isinstance(given.get("check"), str):
        given = {**given, "check": {"kind": given["check"]}}
    if isinstance(given.get("check"), dict):
        base["check"] = _kept(base["check"], given["check"])
    settings = merged(base, given)
    if isinstance(settings.get("binds"), list):
        own, port = preset.settings["port"], settings.get("port")
        # One that is no number is said to be wrong at its place alone; 0 is the port of the bind.
        port = preset.accepts or (port if isinstance(port, int) and port > 0 else own)
        settings["binds"] = [_with_port(bind, port) for bind in settings["binds"]]
    return settings


def merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` over `base`, key by key, mappings within mappings."""
    settings = dict(base)
    for key, value in given.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            settings[key] = merged(base[key], value)
        elif value is None and key in base:
            del settings[key]
        else:
            settings[key] = value
    return settings


def unknown(name: str) -> tuple[str, str]:
    """The problem with a name that no preset has, and the name that was probably meant."""
    meant = closest(name, all_names())
    return f"`{name}` is no preset", f"did you mean `{meant}`?" if meant else "`hactl preset list` shows them"


def _chosen(name: object, kind: Kind) -> tuple[Preset | None, tuple[str, str]]:
    """The preset of this name and kind; else None, and the problem with its hint."""
    preset = find(name) if isinstance(name, str) else None
    if preset is None:
        return None, unknown(str(name))
    if preset.kind == kind:
        return preset, ("", "")
    if preset.kind == "advice":
        return None, (f"`{name}` needs no {kind}: {_clause(preset.reason)}", _clause(preset.instead))
    there = next(section for section, of in _KINDS.items() if of == preset.kind)
    alike = [known.name for known in presets().values() if known.kind == kind and known.name.startswith(preset.name)]
    other = f", or take `{alike[0]}`" if alike else ""
    why = "runs on one node at a time, it is not balanced" if preset.kind == "group" else "is balanced, on every node"
    return None, (f"`{name}` {why}", f"put it below `{there}`{other}")


def _clause(sentence: str) -> str:
    """A sentence as a part of another one."""
    return (sentence[0].lower() + sentence[1:]).rstrip(".")


def _by_name(base: list[dict[str, Any]], given: Any) -> Any:
    """The resources of the file, over those of the same name, and then the rest of the preset's."""
    if given is None:
        return base
    if not isinstance(given, list):
        return given
    theirs = {resource["name"]: resource for resource in base}
    named = [resource.get("name") if isinstance(resource, dict) else None for resource in given]
    first = [
        merged(theirs[name], resource) if isinstance(name, str) and name in theirs else resource
        for name, resource in zip(named, given, strict=True)
    ]
    return first + [resource for name, resource in theirs.items() if name not in named]


def _kept(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the preset's check that stays under the one that is given: of another kind, only its times. `http:
    PATH` gives kind and path."""
    short = "http" in given
    another = (given.get("kind") or ("http" if short else base["kind"])) != base["kind"]
    gone = {*(_OF_KIND if another else ()), *(("kind", "path") if short else ())}
    return {key: value for key, value in base.items() if key not in gone}


def _with_port(bind: Any, port: int) -> Any:
    """The bind, with the preset's port where it has none: `10.0.0.30`, `fd00::30`, `*`, or its `address`."""
    if isinstance(bind, dict):
        return {**bind, "address": _with_port(bind["address"], port)} if "address" in bind else bind
    if not isinstance(bind, str):
        return bind
    if bind == "*":
        return f"*:{port}"
    bare = bind[1:-1] if bind.startswith("[") and bind.endswith("]") else bind
    try:
        address = ip_address(bare)
    except ValueError:
        return bind
    return f"[{bare}]:{port}" if address.version == 6 else f"{bare}:{port}"
