"""`hactl fence`: a node is fenced, switched on, or taken to be stopped by an operator's word; devices are tested."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import replace
from typing import Literal

from election.ownership import MACHINE_STOPPED
from election.reading import ReadView
from election.records import Confirm, FenceRecord, FenceTest, Session
from election.session import dead
from election.store import Compare, Delete, Put, Store, Txn
from election.view import Versioned
from fencing.linux.clock import utc
from hactl.admin.errors import NoSuchError, RefusedError, WaitError
from hactl.admin.transaction import check_node, same_history, write
from hactl.model.cluster import ClusterSpec

# How soon it is asked again whether a word was carried out.
CONFIRM_AGAIN_MS = 200.0


def confirm(
    store: Store,
    view: ReadView,
    spec: ClusterSpec | None,
    node: str,
    by: str,
    lease_left_ms: float,
    action_left_ms: float = float("inf"),
) -> str:
    """Take an operator's word that the dead session of `node` runs nothing any more; its id (docs/protocol.md,
    *Fencing*). `lease_left_ms`, `action_left_ms`: for how long its lease, and an action of a device, may still last.
    Raises WaitError until both are over; while a device is being used, the daemons carry it out."""
    keys, fence = view.keys, _dead(view, spec, node)
    record = fence.record
    if record.state == "safe" and record.evidence == "confirmed" and record.by == by:
        return record.session_id  # it was carried out by a daemon meanwhile
    if record.state == "safe" and not left_alone_by(view, node, record):
        raise RefusedError(f"{node}'s last session is known to be stopped already ({record.evidence}, by {record.by})")
    if lease_left_ms > 0:
        problem = f"{node}'s lease may not be over for another {lease_left_ms / 1000:.1f} s: it may be alive"
        raise WaitError(problem, lease_left_ms)
    if record.state == "acting" and view.sessions:
        _give_word(store, view, node, record, by)
        raise WaitError(f"a fence device is being used on {node}: {_attempt_ends(view, record)}", CONFIRM_AGAIN_MS)
    if record.state == "acting" and action_left_ms > 0:
        raise WaitError(
            f"a fence device may be in use on {node} for another {action_left_ms / 1000:.1f} s, and no node is alive "
            "that could end that",
            action_left_ms,
        )
    safe = replace(record, state="safe", evidence="confirmed", by=by)
    compares = (
        same_history(view),
        Compare(keys.fence(node), "mod", fence.mod_revision),
        Compare(keys.node(node), "create", 0),
    )
    write(store, Txn(compares, (Put(keys.fence(node), safe.to_json()),)), f"the fence record of {node}")
    return record.session_id


def left_alone_by(view: ReadView, node: str, record: FenceRecord) -> list[str]:
    """The groups that the node left alone (maintenance), and that may run there still, whatever is written of the end
    of its session."""
    if record.evidence in MACHINE_STOPPED:
        return []
    owned = [(group, known.record) for group, known in view.groups.items() if known.record.state == "unmanaged"]
    return sorted(group for group, own in owned if own.node == node)


def _dead(view: ReadView, spec: ClusterSpec | None, node: str) -> Versioned[FenceRecord]:
    """The record of its dead session. Raises RefusedError where there is nothing to confirm."""
    fence = view.fences.get(node)
    if node in view.sessions:
        raise RefusedError(f"{node} is alive: it has a session. There is nothing to confirm")
    if view.bad_node(node) or view.bad_fence(node):
        raise RefusedError(
            f"what the store holds of {node}'s session cannot be read: see `hactl status` for what to do"
        )
    if fence is None:
        check_node(spec, node)
        raise RefusedError(f"nothing is known of a session of {node}: there is nothing to confirm")
    return fence


def _give_word(store: Store, view: ReadView, node: str, record: FenceRecord, by: str) -> None:
    """Have the daemons carry it out: they begin no new attempt, and end the current one."""
    word, before = Confirm(record.session_id, by), view.confirms.get(node)
    if before is not None and before.record == word:
        return
    key = view.keys.confirm(node)
    compares = (same_history(view), Compare(key, "mod", before.mod_revision if before else 0))
    write(store, Txn(compares, (Put(key, word.to_json()),)), f"the word about {node}")


def _attempt_ends(view: ReadView, record: FenceRecord) -> str:
    name, _, session_id = record.executor.partition("/")
    session = view.sessions.get(name)
    if session is not None and session.record.session_id == session_id:
        return f"{name} ends its attempt"
    return f"{name}, which used it, is gone: in {record.action_ms / 1000:g} s at most it cannot hit any more"


def fence(store: Store, view: ReadView, spec: ClusterSpec | None, node: str, action: str, by: str) -> str:
    """Have `node` fenced, whatever it runs: `action` is `off`, `reboot`, or "" for the configured one; or have it
    switched on: `on`. Returns the action. A live session is deposed for it; the peers do the rest."""
    if action not in ("", "off", "reboot", "on"):
        raise NoSuchError("`action` must be off, reboot, on, or empty for what is configured")
    if action == "on":
        return switch_on(store, view, spec, node, by)
    check_node(spec, node)
    assert spec is not None
    keys, session, fence = view.keys, view.sessions.get(node), view.fences.get(node)
    if not spec.fencing.of(node).has_device:
        raise RefusedError(
            f"no fence device can switch {node}: give it `fencing` in cluster.yaml; if it is dead, see that it is off, "
            f"then `hactl fence confirm {node}`"
        )
    if not view.sessions.keys() - {node}:
        raise RefusedError(f"no other node is alive that could fence {node}")
    wanted: Literal["off", "reboot"] = "off" if (action or spec.fencing.of(node).action) == "off" else "reboot"
    record = _to_be_fenced(node, session, fence)
    compares = (
        same_history(view),
        Compare(keys.node(node), "create", session.create_revision if session else 0),
        Compare(keys.fence(node), "mod", view.mod_of(keys.fence(node))),
    )
    requested = Put(keys.fence(node), replace(record, wanted=wanted, by=by).to_json())
    gone = (Delete(keys.node(node)),) if session else ()
    write(store, Txn(compares, (*gone, requested)), f"the session of {node}")
    return wanted


def switch_on(store: Store, view: ReadView, spec: ClusterSpec | None, node: str, by: str) -> str:
    """Have `node`, which is known to be stopped, switched on by its devices: those that switched it off, else those of
    its first level. The daemons do it, again and again until it is on."""
    check_node(spec, node)
    assert spec is not None
    keys, fence, fencing = view.keys, view.fences.get(node), spec.fencing.of(node)
    if not fencing.has_device:
        raise RefusedError(f"no fence device can switch {node}: switch it on by hand")
    if node in view.sessions:
        raise RefusedError(f"{node} is on: it has a session")
    if not view.sessions:
        raise RefusedError(f"no node is alive that could switch {node} on")
    if fence is None:
        raise RefusedError(f"nothing is known of a session of {node}: switch it on by hand")
    record = fence.record
    if record.state != "safe":
        raise RefusedError(
            f"{node} is not known to be stopped, it may be about to be fenced: wait (`hactl fence status`), or make "
            f"sure that it is off and say so: `hactl fence confirm {node}`"
        )
    first = next(number for number, level in enumerate(fencing.levels) if level.targets)
    level = record.level if record.evidence == "off" and record.level < len(fencing.levels) else first
    requested = replace(record, power="off", level=level, executor="")
    compares = (
        same_history(view),
        Compare(keys.node(node), "create", 0),
        Compare(keys.fence(node), "mod", fence.mod_revision),
    )
    write(store, Txn(compares, (Put(keys.fence(node), requested.to_json()),)), f"the fence record of {node}")
    return "on"


def _to_be_fenced(node: str, session: Versioned[Session] | None, fence: Versioned[FenceRecord] | None) -> FenceRecord:
    if session is not None:
        # Nobody has observed its end, so everybody counts from the first sight of the record.
        return replace(dead(session), deposed_revision=0)
    if fence is None:
        raise RefusedError(f"nothing is known of a session of {node}: there is nothing to fence")
    record = fence.record
    if record.state == "safe":
        raise RefusedError(f"{node} is known to be stopped already ({record.evidence}, by {record.by})")
    if record.state == "acting":
        raise RefusedError(f"{node} is being fenced just now (by {record.executor.partition('/')[0]})")
    return record


def fence_test(store: Store, view: ReadView, spec: ClusterSpec | None, by: str) -> tuple[FenceTest, list[str], float]:
    """Have every live node test every fence device now. Returns the request, the nodes that will answer, and how long
    that may take, in ms."""
    topology = spec.fencing if spec else None
    if topology is None or not topology.nodes:
        raise RefusedError("no node has `fencing` in cluster.yaml: there is nothing to test")
    if not view.sessions:
        raise RefusedError("no node is alive that could test anything: start hactl")
    targets = Counter(
        target.device for node in topology.nodes.values() for level in node.levels for target in level.targets
    )
    limits_ms = [
        device.status_timeout_ms * (targets[name] + 1) for name, device in topology.devices.items() if targets[name]
    ]
    request = FenceTest(uuid.uuid4().hex[:12], by, utc())
    write(store, Txn((same_history(view),), (Put(view.keys.fence_test, request.to_json()),)), "the cluster")
    return request, sorted(view.sessions), max(limits_ms, default=0)
