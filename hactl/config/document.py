"""The document that is stored: cluster.yaml as JSON; and back by the same schema. Its defaults are written out, except
those of services and `haproxy`, which are too many.

In a file an unknown key is a mistake and refused. In the store it is a later version's, which an earlier one ignores
during a rolling upgrade, and reports. A setting that must not be ignored comes with a higher format (stored.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from election.records import RecordError
from fencing.topology import Device, SecretFile, Topology
from hactl.config.errors import ConfigErrors, KeyPath, Problem, show_path
from hactl.config.load import check_tree, field_problems
from hactl.config.placing import placing_settings
from hactl.config.schema import Cluster
from hactl.config.stored import FORMAT, StoredConfig
from hactl.config.yaml_tree import Tree
from hactl.decide.timing import format_ms, settings
from hactl.model.cluster import ClusterSpec, GroupSpec, NodeSpec
from hactl.model.options import plain
from hactl.model.probes import HealthProbe
from hactl.model.resources import LATER, OCF_DERIVED, OcfSpec, PromoteSpec, ResourceSpec
from hactl.model.service import ServiceSpec


@dataclass(frozen=True, slots=True)
class StoredSpec:
    """The configuration in the store. `ignored`: keys of a later version that were passed over."""

    serial: int
    spec: ClusterSpec
    ignored: tuple[str, ...] = ()
    by: str = ""
    at: str = ""


def document(spec: ClusterSpec) -> str:
    """The document of `spec`, as JSON. parse_document gives `spec` back."""
    return json.dumps(as_settings(spec), separators=(",", ":"), ensure_ascii=False)


def parse_document(text: str, *, file: str = "config") -> ClusterSpec:
    """A stored document's cluster. Raises ConfigErrors."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigErrors([Problem(file, "", f"is not JSON: {error}", "")]) from None
    return _parse(data, file, checked=True)[0]


def read_stored(text: str, *, key: str = "config", checked: bool = True) -> StoredSpec:
    """The value of `config`, or of an entry of its history. Not `checked`: only the schema's rules for single settings
    apply; rules between parts may have been others when it was written. Raises ConfigErrors."""
    try:
        stored = StoredConfig.from_json(text, key)
    except RecordError as error:
        raise ConfigErrors([Problem(key, "", str(error), "")]) from None
    if stored.format > FORMAT:
        problem = f"has format {stored.format}, and this version of hactl knows formats up to {FORMAT}"
        raise ConfigErrors([Problem(key, "", problem, "upgrade hactl on this node")])
    spec, ignored = _parse(stored.document, key, checked=checked)
    return StoredSpec(stored.serial, spec, ignored, stored.by, stored.at)


def as_settings(spec: ClusterSpec) -> dict[str, Any]:
    """The cluster in the shape of cluster.yaml, every default of other than services written out."""
    return {
        "cluster": spec.name,
        "timing": {name: format_ms(ms) for name, ms in settings(spec.timing).items()},
        "nodes": [_node(node, spec.fencing) for node in spec.nodes],
        "groups": [_group(group) for group in spec.groups],
        "services": [_service(service) for service in spec.services],
        "haproxy": _settings(spec.haproxy.plain()),
        "fencing": {
            "devices": [_device(device) for device in spec.fencing.devices.values()],
            "test_interval": format_ms(spec.fencing.test_interval_ms),
        },
        **({"hooks": [_settings(hook.plain()) for hook in spec.hooks]} if spec.hooks else {}),
        **({"health": [_settings(check.plain()) for check in spec.health]} if spec.health else {}),
    }


def _parse(data: Any, file: str, *, checked: bool) -> tuple[ClusterSpec, tuple[str, ...]]:
    if not isinstance(data, dict):
        raise ConfigErrors([Problem(file, "", "is no mapping", "")])
    tree = Tree(file, data=data)
    ignored = _drop_unknown(data)
    if checked:
        return check_tree(tree).spec, ignored
    try:
        return Cluster.model_validate(data).spec(), ignored
    except ValidationError as error:
        raise ConfigErrors(field_problems(tree, error)) from None


def _drop_unknown(data: dict[str, Any]) -> tuple[str, ...]:
    """Take keys out of `data` that the schema does not know; their paths."""
    try:
        Cluster.model_validate(data)
    except ValidationError as error:
        unknown: list[KeyPath] = [detail["loc"] for detail in error.errors() if detail["type"] == "extra_forbidden"]
        for path in unknown:
            parent: Any = data
            for step in path[:-1]:
                parent = parent[step]
            del parent[path[-1]]
        return tuple(show_path(path) for path in unknown)
    return ()


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the model in the words of cluster.yaml: a duration has a unit, not a name with `_ms`."""
    written: dict[str, Any] = {}
    for name, value in options.items():
        # A parameter of an agent is a text, whatever its name.
        if name.endswith("_ms") and not isinstance(value, str):
            written[name.removesuffix("_ms")] = None if value is None else format_ms(value)
        else:
            written[name] = _setting(value)
    return written


def _setting(value: Any) -> Any:
    if isinstance(value, dict):
        return _settings(value)
    return [_setting(inner) for inner in value] if isinstance(value, list) else value


def _node(node: NodeSpec, topology: Topology) -> dict[str, Any]:
    written: dict[str, Any] = {"name": node.name, "address": node.address}
    written |= {"attributes": dict(node.attributes)} if node.attributes else {}
    written |= {"capacity": dict(node.capacity)} if node.capacity else {}
    if node.name not in topology.nodes:
        return written
    fencing = topology.of(node.name)
    levels = [
        {"watchdog": True}
        if level.watchdog
        else {"devices": [{"device": target.device, "plug": target.plug} for target in level.targets]}
        for level in fencing.levels
    ]
    delays = {"delay": format_ms(fencing.delay_ms), "random_delay": format_ms(fencing.random_delay_ms)}
    return {**written, "fencing": {"levels": levels, "action": fencing.action, **delays}}


def _device(device: Device) -> dict[str, Any]:
    return {
        "name": device.name,
        "agent": device.agent,
        "options": {
            name: {"file": value.path} if isinstance(value, SecretFile) else value
            for name, value in device.options.items()
        },
        "timeout": format_ms(device.timeout_ms),
        "status_timeout": format_ms(device.status_timeout_ms),
        "unfence": device.unfence,
    }


def _group(group: GroupSpec) -> dict[str, Any]:
    return {
        "name": group.name,
        "fencing": group.fencing,
        "nodes": list(group.nodes),
        "overlap": group.overlap,
        "restarts": group.restarts,
        "failure_expiry": format_ms(group.failure_expiry_ms),
        "on_stop_failure": group.on_stop_failure,
        "enabled": group.enabled,
        **placing_settings(group.placing),
        **({"probes": [_probe(probe) for probe in group.probes]} if group.probes else {}),
        **_settings(
            {name: value for name, value in plain(group).items() if name in ("moves_limit", "moves_window_ms", "run")}
        ),
        "resources": [_resource(resource) for resource in group.resources],
    }


def _resource(resource: ResourceSpec) -> dict[str, Any]:
    later = {name: value for name, value in resource.plain().items() if name in LATER}
    probes = [_probe(probe) for probe in resource.probes]
    return {
        "name": resource.name,
        resource.kind: _options(resource),
        "start_timeout": format_ms(resource.start_timeout_ms),
        "stop_timeout": format_ms(resource.stop_timeout_ms),
        "monitor_interval": format_ms(resource.monitor_interval_ms),
        "monitor_timeout": format_ms(resource.monitor_timeout_ms),
        **_settings({name: value for name, value in later.items() if name != "probes"}),
        **({"probes": probes} if probes else {}),
    }


def _options(resource: ResourceSpec) -> dict[str, Any]:
    """Without what no setting gives: it comes of the other parts of the document."""
    derived: tuple[str, ...] = ()
    if isinstance(resource, OcfSpec):
        derived = OCF_DERIVED
    elif isinstance(resource, PromoteSpec):
        derived = ("instance",)
    return _settings({name: value for name, value in resource.options.plain().items() if name not in derived})


def _probe(probe: HealthProbe) -> dict[str, Any]:
    asked = probe.check.plain()
    kind = asked.pop("type")
    return {kind: asked["command"] if kind == "command" else asked, **_settings(probe.rhythm.plain())}


def _service(service: ServiceSpec) -> dict[str, Any]:
    return {
        "name": service.name,
        "binds": list(service.binds),
        "port": service.port,
        **_settings(service.options.plain()),
    }
