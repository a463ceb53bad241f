"""The simulated world, made to be read: every delay is fixed, nothing is left to chance, and what happens is recorded.

A network round trip takes 2 ms, a start or a stop 100 ms; a daemon that died is started again after 300 ms, a machine
boots in 1 s.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from election.store import Txn, TxnResult
from fencing.guard import state as guard
from hactl.model import effects, events
from hactl.model.cluster import ClusterSpec
from tests.simulation.checks import Checks
from tests.simulation.guard import Guard
from tests.simulation.node import Daemon, SimNode
from tests.simulation.plan import Plan
from tests.simulation.world import World
from tests.transcripts.prose import Prose, said

ONE_WAY_MS = 1.0
STEP_MS = 100.0
NEVER = 1e12
# A reason that is longer was logged before.
LONG = 100
# The daemon is not started again after these: asked to end, or refused.
LAST_WORDS = (0, 2)

# What a failed action's agent says.
FAILED = {
    "start": "it does not start",
    "stop": "it does not stop",
    "kill": "it still runs",
    "probe": "its monitor fails",
}
DEVICE = {"off": "switches {} off by {}", "on": "switches {} on by {}", "status": "asks the power state of {} from {}"}


class Fixed(random.Random):
    """The shortest of every delay, and no misfortune."""

    def uniform(self, a: float, b: float) -> float:
        return min(a, b)

    def random(self) -> float:
        return 0.999

    def choice(self, seq: Any) -> Any:
        return seq[0]


class ReadableWorld(World):
    """Runs a transcript. `begun`: the machines have power; before that they are only there."""

    def __init__(self, cluster: ClusterSpec, prose: Prose) -> None:
        self.prose, self.begun = prose, False
        rates = {node.name: (1.0, 1.0) for node in cluster.nodes}
        fencing = cluster.fencing.nodes.values()
        plan = Plan(
            0, cluster, [], 0.0, trusted=True, rates=rates, stop_ms=(STEP_MS, STEP_MS), start_ms=(STEP_MS, STEP_MS),
            devices=any(means.has_device for means in fencing), watchdogs=any(means.has_watchdog for means in fencing),
        )  # fmt: skip
        super().__init__(plan)
        self.checks = ReadableChecks(self)
        self.begun = True

    def draws(self) -> random.Random:
        return Fixed()

    def machine(self, name: str, board: str = "") -> SimNode:
        return ReadableNode(self, name, board)

    def delay(self) -> float:
        return ONE_WAY_MS

    def tell(self, speaker: str, text: str) -> None:
        """Record what happened."""
        self.prose.line(self.now, speaker, text)

    def request(
        self,
        node: SimNode,
        txn: Txn,
        timeout: float,
        purpose: str,
        answer: Callable[[TxnResult | None, bool], None],
    ) -> None:
        def answered(result: TxnResult | None, refused: bool) -> None:
            self.prose.answered(self.now, node.shown, purpose, result, refused)
            answer(result, refused)

        self.prose.sent(txn, purpose)
        super().request(node, txn, timeout, purpose, answered)

    def commit(self, txn: Txn, node: SimNode | None = None) -> TxnResult:
        before = {operation.key: self.ledger.get(operation.key) for operation in txn.success}
        result = super().commit(txn, node)
        self.prose.committed(self.now, node.shown if node else "hactl", txn, before, result.succeeded)
        return result


class ReadableChecks(Checks):
    """The simulation's invariants; the guard's deadline is recorded."""

    def guard_fired(self, node: SimNode) -> None:
        super().guard_fired(node)
        self.world.tell(node.name, "guard: the deadline is reached; kills the daemon and its commands")  # type: ignore[attr-defined]


class ReadableGuard(Guard):
    """A guard of which is recorded what it does."""

    node: ReadableNode

    def stop(self, state: guard.GuardState, name: str) -> None:
        self.node.tell(f"guard: stops {name}")
        super().stop(state, name)

    def step(self, event: guard.GuardEvent, name: str = "") -> None:
        if isinstance(event, guard.StopResult):
            self.node.tell(f"guard: {event.name} {'is stopped' if event.stopped else 'could not be stopped'}")
        super().step(event, name)


class ReadableNode(SimNode):
    """A machine of which is recorded what it does."""

    guard_class = ReadableGuard
    world: ReadableWorld

    def __init__(self, world: ReadableWorld, name: str, board: str = "") -> None:
        self.acts: dict[int, effects.Act | effects.FenceAct] = {}
        self.shown = f"{name}'" if world.begun else name  # a copy is booted later
        super().__init__(world, name, board)
        self.offsets = (0.0, 0.0)

    def tell(self, text: str) -> None:
        self.world.tell(self.shown, text)

    def power_on(self) -> None:
        if not self.world.begun:
            return
        if not self.powered and not self.world.devices.keep_off(self.name):
            self.tell("boots")
        super().power_on()

    def power_off(self) -> None:
        if self.powered:
            self.tell("loses power")
        super().power_off()

    def _start(self) -> None:
        self.tell("the daemon starts")
        super()._start()

    def self_fence(self, reason: str) -> None:
        self.tell(f"takes itself down: {reason}")
        super().self_fence(reason)

    def step(self, event: events.Event) -> None:
        event = self._in_words(event)
        if text := self._event(event):
            self.tell(text)
        super().step(event)

    def _in_words(self, event: Any) -> events.Event:
        """The simulation gives no reasons; here somebody reads them."""
        match event:
            case events.Acted(ok=False) if isinstance(act := self.acts.get(event.id), effects.Act):
                return event._replace(detail=FAILED[act.action])
            case events.FenceActed(ok=False, detail="simulated"):
                return event._replace(detail="connection refused")
            case events.GuardAnswered(problem="simulated"):
                return event._replace(problem="No space left on device")
            case events.Configured() if event.problem:
                return event._replace(problem="not YAML")
            case events.Readiness():
                return event._replace(why="" if event.level == "ready" else "the link of eth0 is down")
        return event

    def _event(self, event: events.Event) -> str:
        match event:
            case events.Acted() if isinstance(act := self.acts.pop(event.id, None), effects.Act):
                return _outcome(act, event)
            case events.FenceActed() if isinstance(act := self.acts.pop(event.id, None), effects.FenceAct):
                return f"{act.target.device}: " + (f"{act.node} is {event.power}" if event.ok else event.detail)
            case events.GuardReplied():
                holds = "holds" if event.holds else "does not hold"
                return f"the guard of {event.node} answers: it {holds} the deadline of that session"
            case events.GuardAnswered(ok=False):
                return f"guard: refuses: {event.problem}"
            case events.OriginalProbed():
                return f"{event.by or 'nobody'} answers for its address"
            case events.GuardLost():
                return "the daemon finds its guard dead"
        return ""

    def carry_out(self, daemon: Daemon, effect: effects.Effect) -> None:
        if text := self._effect(effect):
            self.tell(text)
        if isinstance(effect, effects.Exit) and effect.code in LAST_WORDS:
            self.restart_blocked_until = NEVER
        super().carry_out(daemon, effect)

    def _effect(self, effect: effects.Effect) -> str:
        match effect:
            case effects.Act():
                self.acts[effect.id] = effect
                return "" if effect.action == "probe" else f"{effect.action}s {effect.group}/{effect.resource.name}"
            case effects.FenceAct():
                self.acts[effect.id] = effect
                return DEVICE[effect.action].format(effect.node, effect.target.device)
            case effects.FenceCancel():
                return "ends the fence agent before its time"
            case effects.Relist():
                return "lists etcd"
            case effects.GuardBegin():
                return "guard: holds the deadline of the new session"
            case effects.GuardRegister():
                return f"guard: is told of {effect.group.name}/{effect.resource.name}"
            case effects.AskGuard():
                return f"asks the guard of {effect.node} whether it holds the deadline"
            case effects.ProbeOriginal():
                return "asks its network whether another machine has its address"
            case effects.Disown():
                return "notes on disk that the session is another machine's"
            case effects.Exit():
                return f"the daemon ends, status {effect.code}" + (
                    f": {effect.reason}" if len(effect.reason) < LONG else ""
                )
            case effects.Note():
                return said(effect)
        return ""


def _outcome(act: effects.Act, event: events.Acted) -> str:
    name = f"{act.group}/{act.resource.name}"
    if act.action == "probe":
        return f"looks at {name}: {event.health if event.ok else event.detail}"
    if not event.ok:
        return f"{name}: {event.detail}"
    return f"{name} {'runs' if event.health == 'running' else 'is ' + event.health}"
