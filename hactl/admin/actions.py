"""The operator's actions, each written once. The daemon's API and, where no daemon answers, the command line carry them
out by `carry_out`, and write the note of it into the cluster's history."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from election.reading import ReadView
from election.store import Store
from hactl.admin import drains, fencing, groups, maintenance, moves, nodes, planned, requests
from hactl.admin.errors import NoSuchError
from hactl.admin.requests import Request
from hactl.decide.planned import ALL, node_scope
from hactl.model.cluster import ClusterSpec
from hactl.model.text import text_problem


class Left(NamedTuple):
    """For how long a dead node's lease may still hold, and a fence device may still hit it, by this node's clock."""

    lease_ms: float = 0.0
    action_ms: float = float("inf")


@dataclass(frozen=True, slots=True)
class Context:
    """The state on which an action is carried out, and the action's author (`by`). `view`: read lately. `left`: of each
    node that has a fence record. `wall_s`: reads the wall clock."""

    store: Store
    view: ReadView
    spec: ClusterSpec | None
    by: str
    left: Mapping[str, Left]
    wall_s: Callable[[], float] = time.time

    @property
    def known(self) -> tuple[Store, ReadView, ClusterSpec | None]:
        """The first arguments of every operation."""
        return self.store, self.view, self.spec


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer, and the event of the cluster's history; "": nothing was changed that belongs there."""

    answer: msgspec.Struct
    event: str = ""
    data: dict[str, Any] = field(default_factory=dict)


def carry_out(context: Context, request: Request[Any]) -> Outcome:
    """Carry out one of ACTIONS. It blocks. Raises RefusedError with nothing written, StoreError when the outcome is
    unknown: then look, and try again."""
    for name in request.__struct_fields__:
        value = getattr(request, name)
        if isinstance(value, str) and (problem := text_problem(value)):
            raise NoSuchError(f"`{name}` {problem}")
    outcome = ACTIONS[type(request)](context, request)
    return Outcome(outcome.answer, outcome.event, {**outcome.data, "by": context.by})


def _failover(context: Context, params: requests.Failover) -> Outcome:
    move, revision = moves.failover(*context.known, params.group, params.to or "", context.by)
    answer = requests.MoveRequested(move.id, move.from_node, move.to, revision)
    return Outcome(answer, "asked_failover", {"group": params.group, "to": params.to or ""})


def _schedule(context: Context, params: requests.Schedule) -> Outcome:
    known, to = context.known, params.to or ""
    done = moves.schedule(*known, params.group, to, context.by, params.at_ms / 1000, context.wall_s())
    return Outcome(done, "scheduled_failover", {"group": params.group, "to": to, "until": done.until})


def _cancel_scheduled(context: Context, params: requests.CancelScheduled) -> Outcome:
    changed = moves.cancel(*context.known, params.group)
    return Outcome(requests.Changed(changed), "withdrew_failover" if changed else "", {"group": params.group})


def _withdraw(context: Context, params: requests.Withdraw) -> Outcome:
    withdrawn = moves.withdraw(context.store, context.view.keys, params.group, params.id)
    return Outcome(requests.Withdrawn(withdrawn), "withdrew_failover" if withdrawn else "", {"group": params.group})


def _standby(context: Context, params: requests.Standby) -> Outcome:
    leaving, revision = nodes.standby(*context.known, params.node, context.by, force=params.force, check=params.check)
    return Outcome(requests.Groups(leaving, revision), "" if params.check else "asked_standby", {"on": params.node})


def _online(context: Context, params: requests.Online) -> Outcome:
    changed = nodes.online(*context.known, params.node)
    return Outcome(requests.Changed(changed), "asked_online" if changed else "", {"on": params.node})


def _cleanup(context: Context, params: requests.Cleanup) -> Outcome:
    cleaned = groups.cleanup(*context.known, params.group, params.node, context.by)
    data = {"group": params.group, "on": params.node}
    return Outcome(requests.CleanedUp(*cleaned), "asked_cleanup", data)


def _stop(context: Context, params: requests.Stop) -> Outcome:
    done = planned.stop(*context.known, params.group, context.by, reason=params.reason or "", force=params.force)
    data = {"group": params.group, "reason": params.reason or ""}
    return Outcome(done, "asked_stop" if done.changed else "", data)


def _start(context: Context, params: requests.Start) -> Outcome:
    done = planned.start(*context.known, params.group)
    return Outcome(done, "asked_start" if done.changed else "", {"group": params.group})


def _restart(context: Context, params: requests.Restart) -> Outcome:
    done = planned.restart(*context.known, params.group, context.by)
    return Outcome(done, "asked_restart", {"group": params.group, "on": done.node})


def _ban(context: Context, params: requests.Ban) -> Outcome:
    done = planned.ban(
        *context.known, params.group, params.node, context.by,
        ending=planned.ending(params.for_ms, context.wall_s()), reason=params.reason or "", force=params.force,
    )  # fmt: skip
    data = {"group": params.group, "on": params.node, "until": done.until, "reason": params.reason or ""}
    return Outcome(done, "asked_ban", data)


def _clear(context: Context, params: requests.Clear) -> Outcome:
    cleared = planned.clear(*context.known, params.group, params.node)
    data = {"group": params.group, "on": params.node}
    return Outcome(cleared, "asked_clear" if cleared.nodes else "", data)


def _maintenance(context: Context, params: requests.Maintenance | requests.NodeMaintenance) -> Outcome:
    ending, (scope, named) = planned.ending(params.for_ms, context.wall_s()), _scope(params)
    done = maintenance.begin(*context.known, scope, context.by, ending=ending, reason=params.reason or "")
    return Outcome(done, "asked_maintenance", {**named, "until": done.until, "reason": params.reason or ""})


def _end_maintenance(context: Context, params: requests.EndMaintenance | requests.EndNodeMaintenance) -> Outcome:
    scope, named = _scope(params)
    done = maintenance.end(*context.known, scope)
    return Outcome(done, "ended_maintenance" if done.changed else "", named)


def _scope(params: Request[requests.MaintenanceAsked]) -> tuple[str, dict[str, str]]:
    """The name of the maintenance, and how the event names it."""
    if isinstance(params, requests.NodeMaintenance | requests.EndNodeMaintenance):
        return node_scope(params.node), {"on": params.node}
    assert isinstance(params, requests.Maintenance | requests.EndMaintenance)
    return params.group or ALL, {"group": params.group}


def _drain(context: Context, params: requests.Drain) -> Outcome:
    drain, new = drains.drain(
        *context.known, params.service, params.node, context.by, reason=params.reason or "", force=params.force
    )
    answer = requests.DrainRequested(drain.by, drain.at, drain.reason, new)
    data = {"service": params.service, "on": params.node, "reason": drain.reason}
    return Outcome(answer, "asked_drain" if new else "", data)


def _undrain(context: Context, params: requests.Undrain) -> Outcome:
    changed = drains.undrain(*context.known, params.service, params.node)
    data = {"service": params.service, "on": params.node}
    return Outcome(requests.Changed(changed), "asked_undrain" if changed else "", data)


def _confirm(context: Context, params: requests.Confirm) -> Outcome:
    left = context.left.get(params.node, Left())
    session_id = fencing.confirm(*context.known, params.node, context.by, left.lease_ms, left.action_ms)
    return Outcome(requests.Confirmed(session_id), "fence_confirmed", {"on": params.node, "sid": session_id})


def _fence(context: Context, params: requests.Fence) -> Outcome:
    action = fencing.fence(*context.known, params.node, params.action, context.by)
    return Outcome(requests.FenceRequested(action), "fence_asked", {"on": params.node, "action": action})


def _fence_test(context: Context, params: requests.FenceTest) -> Outcome:
    test, answering, limit_ms = fencing.fence_test(*context.known, context.by)
    return Outcome(requests.TestRequested(test.id, answering, limit_ms))


ACTIONS: dict[type[Request[Any]], Callable[[Context, Any], Outcome]] = {
    requests.Failover: _failover,
    requests.Schedule: _schedule,
    requests.CancelScheduled: _cancel_scheduled,
    requests.Withdraw: _withdraw,
    requests.Standby: _standby,
    requests.Online: _online,
    requests.Cleanup: _cleanup,
    requests.Stop: _stop,
    requests.Start: _start,
    requests.Restart: _restart,
    requests.Ban: _ban,
    requests.Clear: _clear,
    requests.Maintenance: _maintenance,
    requests.EndMaintenance: _end_maintenance,
    requests.NodeMaintenance: _maintenance,
    requests.EndNodeMaintenance: _end_maintenance,
    requests.Drain: _drain,
    requests.Undrain: _undrain,
    requests.Confirm: _confirm,
    requests.Fence: _fence,
    requests.FenceTest: _fence_test,
}
