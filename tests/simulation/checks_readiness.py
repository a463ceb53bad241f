"""What must hold of readiness: a group goes from a poor node to one that is better, not to and fro, and not to an unfit
one. That a group runs where all are poor is L1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from election.records import Ownership, Report
from hactl.decide.readiness import settle_ms, standing_in
from hactl.model import effects

if TYPE_CHECKING:
    from tests.simulation.checks import Checks
    from tests.simulation.node import SimNode


class ReadinessChecks:
    """R1: no worse node is chosen; R2: two such moves of a group are apart; R3: no unfit node acquires."""

    def __init__(self, checks: Checks) -> None:
        self.checks = checks
        self.levels: dict[tuple[str, str], tuple[str, float]] = {}
        self.moved: dict[str, tuple[str, float]] = {}

    def reported(self, node: str, report: Report) -> None:
        """A report is in the store."""
        world = self.checks.world
        for group in world.plan.cluster.exclusive:
            level = standing_in(report, group.name).level
            if self.levels.get((group.name, node), ("", 0.0))[0] != level:
                self.levels[group.name, node] = level, world.now

    def handed_over(self, by: str, group: str, own: Ownership) -> None:
        """A group is handed over: to a better node, where the reason is that the owner is poor. One that nobody
        accepted may be handed to another at once."""
        if own.reason.startswith("moved by"):
            self.moved.pop(group, None)  # the operator's word comes between
        if not own.reason.endswith("simulated poor"):
            return
        checks, now = self.checks, self.checks.world.now
        timing = checks.world.plan.cluster.timing
        checks.count("readiness move")
        level, since = self.levels.get((group, own.node), ("ready", 0.0))
        if level != "ready" and now - since > timing.lease_ms:  # the owner must have seen it by now
            checks.fail("R1", f"{group} goes to {own.node}, which is {level} since {now - since:.0f} ms")
        before, when = self.moved.get(group, (by, now))
        never = (by, group) in checks.world.plan.broken  # it could not be started there
        if before != by and not never and now - when < settle_ms(timing) / 2:
            checks.fail("R2", f"{group} is moved again {now - when:.0f} ms after it was")
        self.moved[group] = by, now

    def acquires(self, node: SimNode, send: effects.SendTxn) -> None:
        """A node asks for a group."""
        state = node.daemon.state  # type: ignore[union-attr]
        group = state.pending[send.id].name
        report, ownership = state.view.reports.get(node.name), state.view.groups.get(group)
        mine = ownership is not None and node.name in (
            ownership.record.node,
            *(holder.node for holder in ownership.record.holders),
        )
        current = report is not None and report.record.session_id == state.session.session_id
        if current and not mine and standing_in(report.record, group).level == "unfit":
            self.checks.fail("R3", f"{node.name} asks for {group}, for which it is unfit")
