"""The sound parts of cluster.yaml, with their places, even if other parts are not sound.

So the rules between several parts are checked, and reported, together with the problems within one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from hactl.config.errors import KeyPath
from hactl.config.fencing import FenceDevice
from hactl.config.fields import Strict
from hactl.config.resources.resource import Resource
from hactl.config.schema import Group, NodeSettings, TimingSettings
from hactl.config.services.haproxy import Haproxy
from hactl.config.services.service import Service
from hactl.model.cluster import Timing

Model = TypeVar("Model", bound=Strict)


class Named(NamedTuple):
    """Something with a name, whether sound or not."""

    path: KeyPath
    name: str


@dataclass(frozen=True, slots=True)
class GroupPart:
    """A group. `settings`: None when it could not be made sense of; `unsound`: its settings that are wrong."""

    path: KeyPath
    name: str
    settings: Group | None
    unsound: frozenset[str]
    resources: tuple[tuple[KeyPath, Resource], ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """All that is sound. `timing`: None when its settings are wrong."""

    data: dict[str, Any]
    nodes: tuple[tuple[KeyPath, NodeSettings], ...]
    groups: tuple[GroupPart, ...]
    services: tuple[tuple[KeyPath, Service], ...]
    haproxy: Haproxy
    devices: tuple[tuple[KeyPath, FenceDevice], ...]
    timing: Timing | None

    @property
    def node_names(self) -> list[str]:
        """The names of all nodes, those of unsound ones included."""
        return list(dict.fromkeys(named.name for named in names(self.data, ("nodes",))))

    def resources(self) -> Iterator[tuple[GroupPart, KeyPath, Resource]]:
        """Every sound resource with its group."""
        for group in self.groups:
            for path, resource in group.resources:
                yield group, path, resource


def sound_parts(data: dict[str, Any]) -> Parts:
    """Take `data`, the document as it was read, apart."""
    timing, unsound = _salvage(TimingSettings, data.get("timing", {}))
    return Parts(
        data=data,
        nodes=tuple(_sound(NodeSettings, data, ("nodes",))),
        groups=tuple(_group(path, group) for path, group in mappings(data, ("groups",))),
        services=tuple(_sound(Service, data, ("services",))),
        haproxy=_salvage(Haproxy, data.get("haproxy", {}))[0] or Haproxy(),
        devices=tuple(_sound(FenceDevice, data, ("fencing", "devices"))),
        timing=timing.spec() if timing and not unsound else None,
    )


def mappings(data: Any, path: KeyPath) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """The mappings in the list at `path`, with their paths; nothing where it is no list."""
    value = data
    for step in path:
        value = value.get(step) if isinstance(value, dict) else value[step] if isinstance(step, int) else None
    for index, element in enumerate(value if isinstance(value, list) else ()):
        if isinstance(element, dict):
            yield (*path, index), element


def mapping_at(data: Any, path: KeyPath) -> dict[str, Any]:
    """The mapping at `path`, empty where there is none."""
    *parent, last = path
    return next((mapping for here, mapping in mappings(data, tuple(parent)) if here[-1] == last), {})


def names(data: Any, path: KeyPath) -> Iterator[Named]:
    """The names in the list at `path`."""
    for here, mapping in mappings(data, path):
        if isinstance(name := mapping.get("name"), str):
            yield Named(here, name)


def _sound(model: type[Model], data: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Model]]:
    for here, mapping in mappings(data, path):
        made, _ = _salvage(model, mapping)
        if made is not None:
            yield here, made


def _group(path: KeyPath, raw: dict[str, Any]) -> GroupPart:
    resources = [
        ((*path, *here), resource)
        for here, resource in _sound(Resource, {"resources": raw.get("resources")}, ("resources",))
    ]
    settings, unsound = _salvage(Group, {**raw, "resources": [resource for _, resource in resources]})
    name = raw.get("name")
    return GroupPart(path, name if isinstance(name, str) else "", settings, unsound, tuple(resources))


def _salvage(model: type[Model], raw: Any) -> tuple[Model | None, frozenset[str]]:
    """`raw` as a `model`, if need be without the settings that are wrong; these are named."""
    try:
        return model.model_validate(raw), frozenset()
    except ValidationError as error:
        unsound = frozenset(str(detail["loc"][0]) for detail in error.errors() if detail["loc"])
    if not isinstance(raw, dict) or not unsound:
        return None, unsound
    try:
        return model.model_validate({key: raw[key] for key in raw if key not in unsound}), unsound
    except ValidationError:
        return None, unsound
