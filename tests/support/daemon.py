"""A daemon's decisions beside the store of a scene: events in, what it does in words. It alone calls the step.

    daemon = Daemon(scene, "n2")
    daemon.begin()                     # lists, reads the configuration, opens its session, and all that follows
    assert daemon.take(events.GuardLost()) == ["kill vip/address"]

What it sends is carried out by the store, what it asks of guard and resources succeeds, each as an event of its own and
as soon as it is asked; unless it is in `unanswered`. Time passes by `wait` alone.
"""

from __future__ import annotations

from typing import Any

from election.clock import Instant
from hactl.decide import node as decide
from hactl.decide.state import NodeState
from hactl.model import effects, events
from tests.support.scene import KEYS, Scene, at

NO_GUARD = events.GuardFacts("", None, False, (), 1)
BEGAN_MS = 1_000_000.0
LONGEST_RUN = 200
TICK = events.Tick()


def boot(name: str = "n2", guard: events.GuardFacts = NO_GUARD, **more: Any) -> events.Boot:
    """The facts that a daemon on a machine of its own has when it begins."""
    known = {"identity": None, "known_revision": 0, **more}
    return events.Boot(name, f"machine-{name}", f"boot-{name}", f"nonce-{name}", guard, **known)


class Daemon:
    """One node's daemon. `unanswered`: purposes of transactions, and `list`, `config`, `begin`, `register`, `act`,
    `identify`, `probe-original`, that get no answer by themselves. `log`: events of its notes, `notes`: what the last
    of each says."""

    def __init__(self, scene: Scene, name: str = "n2", start: events.Boot | None = None) -> None:
        self.scene, self.name = scene, name
        self.now: Instant = at(BEGAN_MS)
        self.state: NodeState = decide.new_state(KEYS, start or boot(name))
        self.unanswered: set[str] = set()
        self.waiting: list[effects.Effect] = []
        self.asked: list[events.Event] = []
        self.log: list[str] = []
        self.notes: dict[str, dict[str, Any]] = {}
        self.done: list[str] = []
        self.health: dict[str, events.Health] = {}
        self.machine = f"identity-of-{name}"
        self.wake_ms = 0.0
        self.decided = False

    # --- the step -----------------------------------------------------------------------------------------

    def take(self, event: events.Event) -> list[str]:
        """Take one event, without those that follow from it; returns the daemon's actions."""
        step = decide.step(self.state, event, self.now)
        self.wake_ms, self.decided = step.wake_ms, step.decided
        done = []
        for effect in step.effects:
            if isinstance(effect, effects.Note):
                self.log.append(effect.event)
                self.notes[effect.event] = effect.data
            else:
                done.append(in_words(effect))
                self._ask(effect)
        self.done += done
        return done

    def run(self, event: events.Event = TICK) -> list[str]:
        """Take one event and all that follow from it at the same instant; returns the daemon's actions."""
        before = len(self.done)
        self.asked.append(event)
        for _ in range(LONGEST_RUN):
            if not self.asked:
                return self.done[before:]
            self.take(self.asked.pop(0))
        raise AssertionError(f"it does not come to rest: {self.done[-20:]}")

    def begin(self) -> list[str]:
        """From its first step until there is nothing to do but to wait."""
        return self.run()

    def wait(self, ms: float) -> list[str]:
        """Time passes, then it looks."""
        self.now = self.now.plus(ms)
        return self.run()

    def watch(self) -> list[str]:
        """Deliver through its watch all that has been written meanwhile."""
        return self.run(self.seen())

    def seen(self) -> events.Watched:
        """All that was written since the revision that it knows."""
        with self.scene.store.locked() as ledger:  # type: ignore[attr-defined]
            return events.Watched(ledger.changes_since(KEYS.prefix, self.state.view.revision + 1))

    # --- answers ------------------------------------------------------------------------------------------

    def _ask(self, effect: effects.Effect) -> None:
        if _kind(effect) in self.unanswered:
            self.waiting.append(effect)
        elif (event := self.answer(effect)) is not None:
            self.asked.append(event)

    def answer(self, effect: effects.Effect) -> events.Event | None:
        """The event that answers an effect when all goes well."""
        match effect:
            case effects.SendTxn():
                return events.TxnDone(effect.id, self.scene.store.txn(effect.txn, timeout_s=5))
            case effects.Relist():
                return events.Listed(effect.id, self.scene.store.snapshot(KEYS.prefix, timeout_s=5))
            case effects.ReadConfig():
                return events.Configured(effect.revision, self.scene.spec)
            case effects.GuardBegin():
                return events.GuardAnswered("begin", True)
            case effects.GuardRegister():
                return events.GuardAnswered(f"{effect.group.name}/{effect.resource.name}", True)
            case effects.Act():
                return self._acted(effect)
            case effects.Identify():
                return events.Identified(self.machine)
            case effects.ProbeOriginal():
                return events.OriginalProbed("")
        return None

    def _acted(self, act: effects.Act) -> events.Acted:
        name = f"{act.group}/{act.resource.name}"
        if act.action != "probe":
            self.health[name] = "running" if act.action == "start" else "stopped"
        return events.Acted(act.id, True, self.health.get(name, "stopped"))

    def last(self, kind: str) -> Any:
        """The last effect of this kind that has had no answer."""
        return next(effect for effect in reversed(self.waiting) if _kind(effect) == kind)


def in_words(effect: effects.Effect) -> str:
    """An effect as the tests name it."""
    match effect:
        case effects.SendTxn():
            return str(effect.purpose)
        case effects.Act():
            return f"{effect.action} {effect.group}/{effect.resource.name}"
        case effects.GuardRegister():
            return f"register {effect.group.name}/{effect.resource.name}"
        case effects.GuardUnregister():
            return f"unregister {effect.group}/{effect.resource}"
        case effects.Exit():
            return f"exit {effect.code}"
        case effects.AskGuard():
            return f"ask guard of {effect.node}"
        case effects.FenceAct():
            return f"{effect.action} {effect.node}"
    return _kind(effect)


def _kind(effect: effects.Effect) -> str:
    match effect:
        case effects.SendTxn():
            return str(effect.purpose)
        case effects.Relist():
            return "list"
        case effects.ReadConfig():
            return "config"
        case effects.GuardBegin():
            return "begin"
        case effects.GuardExtend():
            return "extend"
        case effects.GuardRegister():
            return "register"
        case effects.Act():
            return "act"
        case effects.ProbeOriginal():
            return "probe-original"
    return type(effect).__name__.lower()
