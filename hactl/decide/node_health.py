"""The health checks of nodes: when one fails, and what that means for groups. Pure.

Every node reports how its checks stand. A failing check makes its node poor for the groups that it concerns (so that
an owner hands them to a node that is ready, and others are chosen first), and with `then: unfit` also unfit for them
(so that they are not started there); see readiness.py.

Health alone never leaves a group without a node: where no other node that may run it passes its own checks, a node is
poor for it, not unfit. So when all fail by the same cause (a gateway that every node pings, say) nothing is stopped,
and a group whose owner dies is taken over. Nodes make a check at the same moments of the wall clock (`next_turn`), so
that they fail together.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from election.reading import ReadView
from election.records import CheckReport
from hactl.decide.readiness import OwnReadiness, reported
from hactl.decide.reading import ReadState
from hactl.decide.state import NodeState, Out
from hactl.model import events
from hactl.model.cluster import GroupSpec

Checks = Mapping[str, CheckReport]
SOURCE, LEAVE = "health", "health: leave"
NOTHING: Checks = {}


@dataclass(slots=True)
class Streak:
    """A check's results in a row. `ok`: how it stands; None: there was no result yet, and the first one counts."""

    rise: int
    fall: int
    ok: bool | None = None
    against: int = 0

    def take(self, well: bool) -> bool:
        """A result; how it stands now."""
        if self.ok is None:
            self.ok = well
        elif well == self.ok:
            self.against = 0
        else:
            self.against += 1
            if self.against >= (self.rise if well else self.fall):
                self.ok, self.against = well, 0
        return self.ok


def next_turn(now_s: float, interval_s: float, name: str) -> float:
    """When a check is made next, by the wall clock: at the same moments on every node; checks at different ones."""
    offset = interval_s * (zlib.crc32(name.encode()) % 1000) / 1000
    return now_s + interval_s - (now_s - offset) % interval_s


def learn(state: NodeState, event: events.NodeChecked, out: Out) -> None:
    """How this node's checks stand now."""
    before = own_checks(state)
    state.checks = dict(event.checks)
    for name, check in event.checks.items():
        was = before.get(name, {"ok": True})
        if was.get("ok", True) != check["ok"]:
            out.note("node_check_passed" if check["ok"] else "node_check_failed", check=name, detail=check["text"])


def own_checks(state: ReadState) -> Checks:
    """This node's checks; until there was a result, as the previous daemon reported them in the session that this one
    continues."""
    if state.checks is not None:
        return state.checks
    report = state.view.reports.get(state.node)
    return report.record.checks if report and report.record.session_id == state.session.session_id else NOTHING


def checks_of(view: ReadView, node: str) -> Checks:
    """The checks that a node reports; none once its session has ended."""
    report, session = view.reports.get(node), view.sessions.get(node)
    if report is None or session is None or report.record.session_id != session.record.session_id:
        return NOTHING
    return report.record.checks


def judge(state: NodeState) -> None:
    """What this node's checks mean for each group here."""
    mine = own_checks(state)
    for name, run in state.runs.items():
        unfit, poor = failing(state, mine, name, "unfit"), failing(state, mine, name, "last")
        alone = bool(unfit) and not _another_is_well(state, run.spec)
        if unfit or poor or name in state.readiness:
            own = state.readiness.setdefault(name, OwnReadiness())
            own.post(SOURCE, "unfit" if unfit and not alone else "ready", unfit)
            own.post(LEAVE, "poor" if unfit or poor else "ready", unfit or poor)


def failing(state: ReadState, checks: Checks, group: str, then: str) -> str:
    """Which of the checks that concern the group fail, in words; "": none does."""
    specs = state.cluster.health if state.cluster else ()
    texts = [
        f"{spec.name}: {check.get('text', '')}"
        for spec in specs
        if spec.then == then and spec.concerns(group) and not (check := checks.get(spec.name, _PASSED)).get("ok", True)
    ]
    return "; ".join(texts)


_PASSED: CheckReport = {"ok": True}


def _another_is_well(state: NodeState, group: GroupSpec) -> bool:
    """Whether a node that could run the group now passes the checks that concern it."""
    view = state.view
    nodes = group.nodes or tuple(node.name for node in (state.cluster.nodes if state.cluster else ()))
    return any(
        name != state.node
        and name in view.sessions
        and name not in view.standby
        and f"{group.name}/{name}" not in view.failures
        and f"{group.name}/{name}" not in view.bans
        and reported(view, group.name, name).level != "unfit"
        and not failing(state, checks_of(view, name), group.name, "unfit")
        for name in nodes
    )
