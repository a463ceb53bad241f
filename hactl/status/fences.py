"""The parts of the status document that are about fencing: what became of each dead session and what it waits for,
and which node could fence which now, as its last tests of the devices say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from election.reading import ReadView
from election.records import FenceRecord, Holder
from fencing.topology import Target
from hactl.decide.fencing import confirmed
from hactl.decide.suspicion import owns_required
from hactl.model.cluster import ClusterSpec


def fence_status(name: str, view: ReadView, spec: ClusterSpec | None, left_ms: int | None) -> dict[str, Any]:
    """The fence record of a node. `left_ms`: until its lease is over, as a daemon counts; None without one."""
    record = view.fences[name].record
    return {
        "node": name,
        "state": record.state,
        "sid": record.session_id,
        "srev": record.session_revision,
        "evidence": record.evidence,
        "by": record.by,
        "generation": record.generation,
        "lease_left_ms": left_ms,
        "executor": record.executor.partition("/")[0],
        "attempts": record.attempts,
        "failures": record.failures,
        "last": record.last,
        "wanted": record.wanted,
        "power": record.power,
        "fencing": _job(name, view, spec, record),
        "waiting": waiting(name, view, spec, record),
        "matters": matters(name, view, spec),
    }


def being_fenced(name: str, view: ReadView, spec: ClusterSpec | None) -> bool:
    """Whether the last dead session of a node is to be fenced, or is being fenced."""
    fence = view.fences.get(name)
    return fence is not None and name not in view.sessions and _job(name, view, spec, fence.record)


def awaited_by(name: str, view: ReadView, spec: ClusterSpec | None) -> list[str]:
    """The groups that may start elsewhere only once the last dead session of a node is known to be stopped, or its
    lease is over: what it owned or held, and what requires that and never had an owner."""
    fence = view.fences.get(name)
    if fence is None or fence.record.state == "safe":
        return []
    holder = Holder(name, fence.record.session_id, fence.record.session_revision)
    groups = [group for group, known in view.groups.items() if holder in known.record.runners]
    for group in spec.exclusive if spec else ():
        if group.name not in view.groups and group.enabled and group.fencing == "required":
            groups.append(group.name)
    return sorted(groups)


def matters(name: str, view: ReadView, spec: ClusterSpec | None) -> bool:
    """Whether it matters that the last dead session of a node is not known to be stopped: a group waits for it, it is
    to be fenced, or everything before `hactl recover` is unknown."""
    fence = view.fences.get(name)
    if fence is None or fence.record.state == "safe" or name in view.sessions:
        return False
    record = fence.record
    return bool(record.generation or record.wanted or record.state == "acting" or awaited_by(name, view, spec))


def waiting(name: str, view: ReadView, spec: ClusterSpec | None, record: FenceRecord) -> str:
    """The next thing that has to happen with a dead session; empty: nothing has to."""
    executor = record.executor.partition("/")[0]
    if record.state == "safe":
        return f"{executor or 'a node'} to switch it on again" if record.power == "off" else ""
    if confirmed(view, name, record):
        return "the operator's word to be carried out: no device may hit it any more"
    if record.state == "acting":
        return f"the fence device that {executor} uses, for {record.action_ms / 1000:g} s at most"
    if _job(name, view, spec, record):
        again = f", after {record.failures} failed rounds" if record.failures else ""
        return f"{executor} to fence it{again}" if executor else f"a node to fence it{again}"
    by_hand = f"hactl to start on it, or `hactl fence confirm {name}`"
    if record.generation:
        return by_hand
    if spec is not None and not owns_required(view, spec, Holder(name, record.session_id, record.session_revision)):
        return f"{by_hand}; no group waits for it"
    return by_hand


def _job(name: str, view: ReadView, spec: ClusterSpec | None, record: FenceRecord) -> bool:
    """Whether it is to be fenced, or is being fenced."""
    if record.state == "safe" or spec is None or not spec.fencing.of(name).has_device:
        return False
    if record.wanted:
        return True
    return not record.generation and owns_required(view, spec, Holder(name, record.session_id, record.session_revision))


def node_fencing(name: str, view: ReadView, spec: ClusterSpec | None) -> dict[str, Any] | None:
    """How a node is fenced, and `by` whom it could be now; `untested`: live nodes that have not said. None where
    nothing is configured."""
    if spec is None or name not in spec.fencing.nodes:
        return None
    fencing = spec.fencing.of(name)
    status: dict[str, Any] = {"action": fencing.action, "levels": [level.words for level in fencing.levels]}
    status["device"] = fencing.has_device
    by, untested = [], []
    for other in sorted(set(view.sessions) - {name}) if fencing.has_device else ():
        tested = _tested(view, other, name)
        if any(level.targets and all(tested.get(target) for target in level.targets) for level in fencing.levels):
            by.append(other)
        elif not all(target in tested for level in fencing.levels for target in level.targets):
            untested.append(other)
    return {**status, "by": by, "untested": untested}


def _tested(view: ReadView, by: str, node: str) -> Mapping[Target, bool]:
    report = view.devices.get(by)
    targets = report.record.targets if report else ()
    return {
        Target(str(target.get("device")), str(target.get("plug"))): bool(target.get("ok"))
        for target in targets
        if target.get("node") == node
    }


def device_reports(view: ReadView, spec: ClusterSpec | None) -> list[dict[str, Any]]:
    """The last change that each live node found of the devices."""
    if spec is None or not spec.fencing.devices:
        return []
    return [
        {"node": node, "test": device.record.test, "at": device.record.at, "targets": list(device.record.targets)}
        for node, device in sorted(view.devices.items())
        if node in view.sessions
    ]
