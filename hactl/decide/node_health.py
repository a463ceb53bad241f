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
from dataclasses import dataclass

from election.records import CheckReport
from hactl.decide import requirements
from hactl.decide.placement.attributes import NO_CHECKS, Checks, checks_of
from hactl.decide.readiness import OwnReadiness
from hactl.decide.reading import ReadState
from hactl.decide.state import NodeState, Out
from hactl.model import events
from hactl.model.health import CheckSpec
from hactl.model.requirements import service_of

SOURCE, LEAVE = "health", "health: leave"


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
    _note_changes(before, event.checks, out)


def learn_of_haproxy(state: NodeState, event: events.HaproxySeen, out: Out) -> None:
    """How this node's HAProxy serves now."""
    before = own_checks(state)
    state.haproxy = event
    _note_changes(before, requirements.checks_seen(state, event), out)


def _note_changes(before: Checks, checks: Checks, out: Out) -> None:
    for name, check in checks.items():
        was = before.get(name, _PASSED)
        if was.get("ok", True) != check["ok"]:
            out.note("node_check_passed" if check["ok"] else "node_check_failed", check=name, detail=check["text"])


def own_checks(state: ReadState) -> Checks:
    """This node's checks, those that groups require among them; until there was a result, as the previous daemon
    reported them in the session that this one continues."""
    report = state.view.reports.get(state.node)
    reported = report.record.checks if report and report.record.session_id == state.session.session_id else NO_CHECKS
    own, seen = state.checks, state.haproxy
    if own is None:
        own = {name: check for name, check in reported.items() if not service_of(name)}
    if seen is not None:
        return {**own, **requirements.checks_seen(state, seen)}
    return {**own, **{name: check for name, check in reported.items() if service_of(name)}}


def judge(state: NodeState) -> None:
    """What this node's checks mean for each group here."""
    ill = _failing(state, own_checks(state))
    for name in state.runs if ill else state.readiness:
        unfit, poor = _words(ill, name, "unfit"), _words(ill, name, "last")
        alone = bool(unfit) and not _another_is_well(state, name)
        if unfit or poor or name in state.readiness:
            own = state.readiness.setdefault(name, OwnReadiness())
            own.post(SOURCE, "unfit" if unfit and not alone else "ready", unfit)
            own.post(LEAVE, "poor" if unfit or poor else "ready", unfit or poor)


def _failing(state: NodeState, checks: Checks) -> list[tuple[CheckSpec, str]]:
    """Those of the checks that fail, with their words."""
    specs = state.plan().rules.checks if state.cluster and checks else ()
    known = ((spec, checks.get(spec.name, _PASSED)) for spec in specs)
    return [(spec, str(check.get("text", ""))) for spec, check in known if check.get("ok") is False]


_PASSED: CheckReport = {"ok": True}


def _words(ill: list[tuple[CheckSpec, str]], group: str, then: str) -> str:
    """Which of the failing checks mean this for the group; "": none does."""
    return "; ".join(f"{spec.name}: {text}" for spec, text in ill if spec.then == then and spec.concerns(group))


def _another_is_well(state: NodeState, group: str) -> bool:
    """Whether a node that may run the group now passes the checks that concern it."""
    return state.cluster is not None and any(
        name != state.node and not _words(_failing(state, checks_of(state.view, name)), group, "unfit")
        for name in state.choice(group).candidates
    )
