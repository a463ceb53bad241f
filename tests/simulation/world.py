"""The simulated world: time, the store and the network to it. Nodes are in node.py, faults in faults.py, the
invariants in checks.py. Everything is drawn from the plan's seed: a seed replays exactly."""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Callable
from typing import Any

from election.keys import Keys
from election.memory_store import MemoryLedger
from election.recovery import init
from election.store import CompactedError, KeyValue, StoreRefusedError, Txn, TxnResult
from hactl.model import events
from hactl.model.cluster import ClusterSpec
from tests.simulation.checks import Checks
from tests.simulation.devices import Devices
from tests.simulation.instances import Instances
from tests.simulation.node import SimNode
from tests.simulation.plan import Plan

# The time of day at which every schedule begins.
WALL_MS = 1_800_000_000_000.0


class World:
    """One schedule."""

    def __init__(self, plan: Plan, trace: bool = False) -> None:
        self.plan = plan
        self.rng = self.draws()
        self.now = 0.0
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.count = 0
        self.trace = trace
        self.log: list[str] = []
        self.keys = Keys.of(plan.cluster.name)
        self.ledger = MemoryLedger()
        self.specs: dict[int, ClusterSpec | None] = {}
        self.config_serial = 0
        self.away_until = self.slow_until = self.full_until = 0.0
        self.compacted = 0
        self.mended_at = 0.0
        self.restored_at = 0.0
        self.configurations = 0
        self.malformed: dict[str, tuple[int, KeyValue | None]] = {}
        self.outages: list[tuple[float, float]] = []
        self.unstoppable: dict[str, float] = {}
        self.saved = self.ledger.copy()
        self.checks = Checks(self)
        self.devices = Devices(self)
        self.ledger.apply(init(self.keys, "uuid-0", self.config_text(plan.cluster)))
        self.nodes = {node.name: self.machine(node.name) for node in plan.cluster.nodes}
        self.instances = Instances(self)

    def draws(self) -> random.Random:
        """Where delays and chances are drawn from."""
        return random.Random(self.plan.seed * 7919 + 1)

    def machine(self, name: str, board: str = "") -> SimNode:
        """A machine that calls itself `name`; see SimNode for `board`."""
        return SimNode(self, name, board)

    # --- time ---------------------------------------------------------------------------------------------

    def wall_ms(self) -> float:
        """The true time of day: UTC in ms since 1970."""
        return WALL_MS + self.now

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Have `call` made at `when`."""
        self.count += 1
        heapq.heappush(self.queue, (when, self.count, call))

    def after(self, wait: float, call: Callable[[], None]) -> None:
        """Have `call` made `wait` ms from now."""
        self.at(self.now + wait, call)

    def say(self, text: str, *parts: Any) -> None:
        """A line of the transcript."""
        if self.trace:
            self.log.append(f"{self.now / 1000:9.3f} {text % parts if parts else text}")

    def run_until(self, end: float) -> None:
        """Let everything happen up to `end`."""
        queue = self.queue
        while queue and queue[0][0] <= end:
            self.now, _, call = heapq.heappop(queue)
            call()
        self.now = end

    # --- the store ----------------------------------------------------------------------------------------

    def config_text(self, spec: ClusterSpec | None) -> str:
        """What is stored under `config`: a number under which the simulation keeps the real one."""
        self.config_serial += 1
        self.specs[self.config_serial] = spec
        return json.dumps({"serial": self.config_serial})

    def store_away(self) -> bool:
        """Whether the store answers nobody now."""
        return self.now < self.away_until

    def delay(self) -> float:
        """One way through the network."""
        return self.rng.uniform(0.5, 6.0)

    def request(
        self,
        node: SimNode,
        txn: Txn,
        timeout: float,
        purpose: str,
        answer: Callable[[TxnResult | None, bool], None],
    ) -> None:
        """Send a transaction: it may be lost, late or doubled, and so may its answer."""
        done = [False]

        def finish(result: TxnResult | None, refused: bool = False) -> None:
            if not done[0] or result is not None:
                done[0] = True
                answer(result, refused)

        def expire() -> None:
            if not done[0]:
                done[0] = True
                answer(None, False)

        self.after(timeout * node.slowness(), expire)
        rng, plan = self.rng, self.plan
        if node.cut("requests") or rng.random() < plan.loss:
            return
        wait = self.delay()
        if self.now < self.slow_until or rng.random() < plan.slow:
            wait += rng.choice([300.0, 1500.0, 6000.0, 15_000.0]) * rng.random()
        if self.now < node.late_writes_until and purpose not in ("renew", "close", "open", "report"):
            wait += rng.uniform(0.0, 15_000.0)
        self.after(wait, lambda: self._arrive(node, txn, finish))

    def _arrive(self, node: SimNode, txn: Txn, finish: Callable[[TxnResult | None, bool], None]) -> None:
        if self.store_away():
            return
        try:
            self.ledger.full = self.now < self.full_until
            result = self.commit(txn, node)
        except StoreRefusedError:
            self.after(self.delay(), lambda: finish(None, True))
            return
        if node.cut("answers") or self.rng.random() < self.plan.loss:
            return
        self.after(self.delay(), lambda: finish(result, False))
        if self.rng.random() < 0.02:
            self.after(self.delay() * 50, lambda: finish(result, False))

    def commit(self, txn: Txn, node: SimNode | None = None) -> TxnResult:
        """Apply a transaction, look at what it did, and have the watchers told."""
        before = {
            operation.key: self.ledger.get(operation.key)
            for operation in txn.success
            if operation.key.startswith(self.keys.prefix)
        }
        result = self.ledger.apply(txn)
        if result.succeeded:
            self.checks.committed(txn, before, node, result.revision)
            for other in self.nodes.values():
                other.watch.soon()
        return result

    def list_for(self, node: SimNode, timeout: float, answer: Callable[[events.Event], None], number: int) -> None:
        """Answer a list, and begin a new watch from it."""
        done = [False]

        def expire() -> None:
            if not done[0]:
                done[0] = True
                answer(events.ListFailed(number, "no answer"))

        def arrive() -> None:
            if self.store_away():
                return
            snapshot = self.ledger.snapshot(self.keys.prefix)
            if not node.cut("answers"):
                self.after(self.delay(), lambda: deliver(snapshot))

        def deliver(snapshot: Any) -> None:
            if not done[0]:
                done[0] = True
                node.watch.begin(snapshot.revision + 1)
                answer(events.Listed(number, snapshot))

        self.after(timeout, expire)
        if not node.cut("requests") and self.rng.random() >= self.plan.loss:
            self.after(self.delay(), arrive)

    def changes(self, start: int) -> Any:
        """What a watch from `start` has to tell; None: it cannot go on."""
        try:
            return self.ledger.changes_since(self.keys.prefix, start)
        except CompactedError:
            return None
