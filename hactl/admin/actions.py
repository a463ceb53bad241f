"""The operator's actions, each written once. The daemon's API and, where no daemon answers, the command line carry them
out by `carry_out`, and write the note of it into the cluster's history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from election.reading import ReadView
from election.store import Store
from hactl.admin import drains, fencing, groups, moves, nodes, requests
from hactl.admin.errors import NoSuchError
from hactl.admin.requests import Request
from hactl.model.cluster import ClusterSpec
from hactl.model.text import text_problem


class Left(NamedTuple):
    """How long a dead node's lease may still hold, and a fence device may still hit it, as counted on this node."""

    lease_ms: float = 0.0
    action_ms: float = float("inf")


@dataclass(frozen=True, slots=True)
class Context:
    """On what an action is carried out, and for whom. `view`: read lately. `left`: of each node that has a fence
    record."""

    store: Store
    view: ReadView
    spec: ClusterSpec | None
    by: str
    left: Mapping[str, Left]

    @property
    def known(self) -> tuple[Store, ReadView, ClusterSpec | None]:
        """What every operation is given first."""
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


def _failover(it: Context, asked: requests.Failover) -> Outcome:
    move, revision = moves.failover(*it.known, asked.group, asked.to or "", it.by)
    answer = requests.MoveRequested(move.id, move.from_node, move.to, revision)
    return Outcome(answer, "asked_failover", {"group": asked.group, "to": asked.to or ""})


def _withdraw(it: Context, asked: requests.Withdraw) -> Outcome:
    withdrawn = moves.withdraw(it.store, it.view.keys, asked.group, asked.id)
    return Outcome(requests.Withdrawn(withdrawn), "withdrew_failover" if withdrawn else "", {"group": asked.group})


def _standby(it: Context, asked: requests.Standby) -> Outcome:
    leaving = nodes.standby(*it.known, asked.node, it.by, force=asked.force, check=asked.check)
    return Outcome(requests.Groups(leaving), "" if asked.check else "asked_standby", {"on": asked.node})


def _online(it: Context, asked: requests.Online) -> Outcome:
    changed = nodes.online(*it.known, asked.node)
    return Outcome(requests.Changed(changed), "asked_online" if changed else "", {"on": asked.node})


def _cleanup(it: Context, asked: requests.Cleanup) -> Outcome:
    cleaned, unblocked = groups.cleanup(*it.known, asked.group, asked.node, it.by)
    data = {"group": asked.group, "on": asked.node}
    return Outcome(requests.CleanedUp(cleaned, unblocked), "asked_cleanup", data)


def _drain(it: Context, asked: requests.Drain) -> Outcome:
    there, new = drains.drain(*it.known, asked.service, asked.node, it.by, reason=asked.reason or "", force=asked.force)
    answer = requests.DrainRequested(there.by, there.at, there.reason, new)
    data = {"service": asked.service, "on": asked.node, "reason": there.reason}
    return Outcome(answer, "asked_drain" if new else "", data)


def _undrain(it: Context, asked: requests.Undrain) -> Outcome:
    changed = drains.undrain(*it.known, asked.service, asked.node)
    data = {"service": asked.service, "on": asked.node}
    return Outcome(requests.Changed(changed), "asked_undrain" if changed else "", data)


def _confirm(it: Context, asked: requests.Confirm) -> Outcome:
    left = it.left.get(asked.node, Left())
    sid = fencing.confirm(*it.known, asked.node, it.by, left.lease_ms, left.action_ms)
    return Outcome(requests.Confirmed(sid), "fence_confirmed", {"on": asked.node, "sid": sid})


def _fence(it: Context, asked: requests.Fence) -> Outcome:
    action = fencing.fence(*it.known, asked.node, asked.action, it.by)
    return Outcome(requests.FenceRequested(action), "fence_asked", {"on": asked.node, "action": action})


def _fence_test(it: Context, asked: requests.FenceTest) -> Outcome:
    test, answering, limit_ms = fencing.fence_test(*it.known, it.by)
    return Outcome(requests.TestRequested(test.id, answering, limit_ms))


ACTIONS: dict[type[Request[Any]], Callable[[Context, Any], Outcome]] = {
    requests.Failover: _failover,
    requests.Withdraw: _withdraw,
    requests.Standby: _standby,
    requests.Online: _online,
    requests.Cleanup: _cleanup,
    requests.Drain: _drain,
    requests.Undrain: _undrain,
    requests.Confirm: _confirm,
    requests.Fence: _fence,
    requests.FenceTest: _fence_test,
}
