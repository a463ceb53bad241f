"""The rules for devices and levels: every option is safe to give, every target belongs to one node and no other."""

from __future__ import annotations

from collections.abc import Iterator

from fencing.agents.options import refused_name
from fencing.agents.redact import is_secret
from fencing.topology import SecretFile
from hactl.config.errors import KeyPath, show_path, suggest
from hactl.config.fencing import FenceDevice, LevelTarget, NodeFencingSettings
from hactl.config.parts import Parts, names
from hactl.config.rules.findings import Finding

_PLUGS = ("plug", "port")


def fencing_findings(parts: Parts) -> Iterator[Finding]:
    """The problems of devices and levels, and warnings about them."""
    fenced = [(path, node.fencing) for path, node in parts.nodes if node.fencing is not None]
    targets = [(path, target) for place, fencing in fenced for path, target in _targets(place, fencing)]
    with_plug = {target.device for _, target in targets if target.plug}
    for path, device in parts.devices:
        yield from _options(path, device, device.name in with_plug)
    yield from _alike(parts)
    yield from _references(parts, targets)
    for path, target in targets:
        if not target.plug and target.device in with_plug:
            problem = f"device `{target.device}` has plugs elsewhere, so this would leave open what is meant"
            yield Finding(path, problem, f"write {{device: {target.device}, plug: PLUG}}")
    for path, fencing in fenced:
        yield from _same_levels(path, fencing)
    yield from _shared(targets)


def _targets(path: KeyPath, fencing: NodeFencingSettings) -> Iterator[tuple[KeyPath, LevelTarget]]:
    for number, level in enumerate(fencing.levels):
        for place, target in enumerate(level.devices):
            yield (*path, "fencing", "levels", number, "devices", place), target


def _options(path: KeyPath, device: FenceDevice, with_plug: bool) -> Iterator[Finding]:
    """Checks that need no agent; of a secret nothing is shown."""
    for name, value in device.options.items():
        here = (*path, "options", name)
        if name.startswith("pcmk_"):
            hint = "leave it out; plugs are given in the levels of the nodes"
            yield Finding(here, f"`{name}` is an option of Pacemaker's, not of the agent's", hint)
        elif reason := refused_name(name):
            yield Finding(here, f"option `{name}` {reason}", "leave it out")
        elif with_plug and name in _PLUGS:
            yield Finding(here, f"option `{name}` is given by the levels, too", "leave it out here")
        elif is_secret(name) and not isinstance(value, SecretFile):
            hint = f"write `{name}: {{file: /etc/hactl/secrets/{device.name}}}`, and put it into that file on each node"
            yield Finding(here, f"option `{name}` would lie in etcd for all to read", hint)
        elif name == "method" and str(value).lower() == "cycle":
            problem = "`method: cycle` cannot be verified: the machine is never seen to be off"
            yield Finding(here, problem, "use `onoff`, or leave it out")


def _alike(parts: Parts) -> Iterator[Finding]:
    """Two devices that are one: after copying a device and forgetting to change it, the wrong node would be fenced."""
    first: list[tuple[KeyPath, FenceDevice]] = []
    for path, device in parts.devices:
        for other_path, other in first:
            if device.options and (device.agent, device.options) == (other.agent, other.options):
                problem = f"device `{device.name}` is the same as `{other.name}`: {show_path(other_path)}"
                yield Finding(path, problem, "change what should differ, or use one of them, with plugs")
                break
        first.append((path, device))


def _references(parts: Parts, targets: list[tuple[KeyPath, LevelTarget]]) -> Iterator[Finding]:
    """Levels name devices that are there, and every device is named by one."""
    known = [entry.name for entry in names(parts.data, ("fencing", "devices"))]
    for path, target in targets:
        if target.device not in known:
            hint = suggest(target.device, known) or "give it in `fencing.devices`"
            yield Finding(path, f"`{target.device}` is no device of this cluster", hint)
    used = {target.device for _, target in targets}
    for path, device in parts.devices:
        if device.name not in used:
            problem = f"device `{device.name}` is used by no node"
            yield Finding(path, problem, "name it in a level of a node, or leave it out", refused=False)


def _same_levels(path: KeyPath, fencing: NodeFencingSettings) -> Iterator[Finding]:
    first: dict[frozenset[tuple[str, str]], KeyPath] = {}
    for number, level in enumerate(fencing.levels):
        here = (*path, "fencing", "levels", number)
        named = [(target.device, target.plug) for target in level.devices]
        for place, target in enumerate(named):
            if target in named[:place]:
                yield Finding((*here, "devices", place), f"{_called(*target)} is in this level twice", "name it once")
        if (key := frozenset(named)) in first:
            hint = "leave it out: levels are tried again and again anyway"
            yield Finding(here, f"is the same level as {show_path(first[key])}", hint)
        first.setdefault(key, here)


def _shared(targets: list[tuple[KeyPath, LevelTarget]]) -> Iterator[Finding]:
    """A device that switches one node must not switch another, too."""
    first: dict[tuple[str, str], KeyPath] = {}
    for path, target in targets:
        key = (target.device, target.plug)
        other = first.setdefault(key, path)
        if other[:2] != path[:2]:
            problem = f"{_called(*key)} switches another node already: {show_path(other)}"
            hint = "give the right plug" if target.plug else "give each node its own `plug`, {device: NAME, plug: PLUG}"
            yield Finding(path, problem, hint)


def _called(device: str, plug: str) -> str:
    return f"plug `{plug}` of device `{device}`" if plug else f"device `{device}`"
