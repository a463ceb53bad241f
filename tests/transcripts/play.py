"""A transcript being played: its world, and how a command is carried out."""

from __future__ import annotations

from typing import Any

from election.keys import Keys
from election.store import KeyValue, Snapshot, Txn, TxnResult
from election.view import View
from hactl.admin import requests
from hactl.admin.actions import Context, Left, carry_out
from hactl.admin.errors import RefusedError
from hactl.model.cluster import ClusterSpec
from tests.simulation.checks import Violation
from tests.simulation.operator import mend_all
from tests.transcripts.cluster import NAME, Description
from tests.transcripts.commands import COMMANDS
from tests.transcripts.prose import Prose, wrapped
from tests.transcripts.world import ReadableNode, ReadableWorld

LOOK_MS = 2_000.0
LONGEST_MS = 90_000.0
OPERATOR = "anna"


class Ledger:
    """The simulated store as operators' actions use it."""

    def __init__(self, world: ReadableWorld) -> None:
        self.world = world

    def get(self, key: str, *, timeout_s: float) -> tuple[KeyValue | None, int]:
        return self.world.ledger.get(key), self.world.ledger.revision

    def txn(self, txn: Txn, *, timeout_s: float) -> TxnResult:
        return self.world.commit(txn)


class Play:
    """One transcript being played."""

    def __init__(self) -> None:
        self.description = Description()
        self.prose = Prose(Keys.of(NAME))
        self.started: ReadableWorld | None = None
        self.cluster: ClusterSpec | None = None
        self.answers: list[str] = []

    @property
    def world(self) -> ReadableWorld:
        """The world; the first command that needs it begins it."""
        if self.started is None:
            self.started = ReadableWorld(self.description.spec(), self.prose)
            self.prose.origin = 0.0
            self.cluster = self.started.plan.cluster
        return self.started

    def do(self, command: str) -> list[str]:
        """Carry out a command; what happened."""
        for pattern, action in COMMANDS:
            if (match := pattern.fullmatch(command)) is not None:
                action(self, **match.groupdict())
                answers, self.answers = self.answers, []
                return [line for answer in answers for line in wrapped(" " * 12, answer)] + self.prose.take()
        raise ValueError(f"no such command: {command}")

    def node(self, name: str) -> ReadableNode:
        node = self.world.nodes[f"{name[:-1]}/clone" if name.endswith("'") else name]
        assert isinstance(node, ReadableNode)
        return node

    @property
    def view(self) -> View:
        world, view = self.world, View(self.prose.keys)
        view.load(Snapshot(world.ledger.revision, world.ledger.snapshot(world.keys.prefix).items))
        return view

    def operate(self, request: requests.Request[Any], left: Left | None = None) -> None:
        """An operator's action; a refusal is its answer."""
        node = getattr(request, "node", "")
        known, by_node = (self.store, self.view, self.cluster), {node: left} if left else {}
        context = Context(*known, OPERATOR, by_node, lambda: self.world.wall_ms() / 1000)
        try:
            carry_out(context, request)
        except RefusedError as refusal:
            self.answers.append(str(refusal))

    @property
    def store(self) -> Any:
        return Ledger(self.world)

    def finish(self) -> None:
        """All faults are over; in the end everything runs, as the simulation demands."""
        world = self.world
        self.prose.origin = None
        for node in world.nodes.values():
            node.restart_blocked_until = 0.0
            if node.daemon is None and node.powered:
                node.start_daemon(0.0)
        world.away_until = world.now
        world.plan.broken.clear()
        mend_all(world)
        end = world.now + LONGEST_MS
        while True:
            world.run_until(world.now + LOOK_MS)
            try:
                world.checks.at_end()
            except Violation:
                if world.now >= end:
                    raise
            else:
                return
