"""The guard of a node: its process running the very code of the guard, and the watchdog that it feeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fencing.guard import state as guard
from hactl.model import events
from tests.simulation.instances import ROLE

if TYPE_CHECKING:
    from tests.simulation.node import Daemon, SimNode


class Guard:
    """Of one node. `state`: None while no guard runs."""

    def __init__(self, node: SimNode) -> None:
        self.node = node
        self.state: guard.GuardState | None = None
        self.paused_until = 0.0
        self.inbox: list[tuple[guard.GuardEvent, str]] = []
        self.watchdog = Watchdog(node)

    def end(self) -> None:
        """Its machine is without power."""
        self.state = None
        self.watchdog.reset_at = None

    def boot(self) -> None:
        """Nothing is left of the last boot."""
        self.end()
        self.paused_until = 0.0

    def start(self) -> None:
        """A new process."""
        self.state = guard.GuardState()
        self.inbox.clear()

    def paused(self) -> bool:
        """Whether the guard stands still."""
        return self.node.frozen() or self.paused_until > self.node.world.now

    def _when_awake(self, call: Callable[[], None]) -> None:
        self.node.world.at(max(self.paused_until, self.node.frozen_until) + 0.01, call)

    # --- events and effects -------------------------------------------------------------------------------

    def send(self, daemon: Daemon, name: str, event: guard.GuardEvent) -> None:
        """A message from the daemon to the guard, and the answer back."""

        def arrive() -> None:
            if daemon is not self.node.daemon or self.state is None:
                return
            if not self.paused() and not self.inbox:
                self.step(event, name)
                return
            if not self.inbox:
                self._when_awake(self._drain)
            self.inbox.append((event, name))

        self.node.world.after(0.1, arrive)

    def _drain(self) -> None:
        if self.state is None:
            return
        if self.paused():
            self._when_awake(self._drain)
            return
        inbox, self.inbox = self.inbox, []
        for event, name in inbox:
            if self.state is not None:
                self.step(event, name)

    def step(self, event: guard.GuardEvent, name: str = "") -> None:
        """The guard's loop."""
        state, node, world = self.state, self.node, self.node.world
        assert state is not None
        daemon = node.daemon
        for effect in guard.step(state, event, node.clock()):
            if self.state is not state:
                return
            match effect:
                case guard.KillDaemon():
                    world.say("%s: guard kills the daemon and its agents", node.name)
                    world.checks.guard_fired(node)
                    node.end_agents()
                    node.kill_daemon()
                case guard.Stop():
                    self.stop(state, effect.name)
                case guard.SelfFence():
                    node.self_fence(effect.reason)
                    return
                case guard.Reply():
                    if name and (name != "extend" or not effect.ok):
                        reply = events.GuardAnswered(name, effect.ok, effect.problem)
                        world.after(0.1, lambda reply=reply: node.deliver(daemon, reply))  # type: ignore[misc]
        self.watchdog.feed(state)
        self._schedule_tick(state)

    def stop(self, state: guard.GuardState, name: str) -> None:
        """The guard stops a resource by itself."""
        node = self.node
        group, _, resource = name.partition("/")

        def stopped() -> None:
            if self.state is not state or not node.powered:
                return
            if self.paused():
                self._when_awake(stopped)
                return
            ok = node.resources.stops(group)
            if ok:
                node.resources.stop((group, resource))
                if resource == ROLE:
                    node.world.instances.kill(node)
            self.step(guard.StopResult(name, ok))

        node.world.after(node.world.rng.uniform(5, 80), stopped)

    def _schedule_tick(self, state: guard.GuardState) -> None:
        deadline = guard.next_deadline(state)
        if deadline is None:
            return

        def tick() -> None:
            if self.state is not state or not self.node.powered:
                return
            if self.paused():
                self._when_awake(tick)
            elif guard.next_deadline(state) == deadline:
                self.step(guard.Tick())

        self.node.world.after(max(0.0, self.node.time_until(deadline)) + 0.01, tick)


class Watchdog:
    """Of one node: resets it at `reset_at`, in true time, unless it is fed before."""

    def __init__(self, node: SimNode) -> None:
        self.node = node
        self.reset_at: float | None = None

    def feed(self, state: guard.GuardState) -> None:
        """Fed up to the end of what the guard holds; freely while it holds nothing, once it knows that nothing runs."""
        node, world = self.node, self.node.world
        if not world.plan.watchdogs or not state.session_id:
            return
        if not state.exclusive or state.valid_until is None:
            self.reset_at = None
            return
        at = world.now + node.time_until(state.valid_until)
        if self.reset_at is not None and at > self.reset_at and state.latched:
            return  # it is not fed any more
        self.reset_at = at

        def trigger_reset() -> None:
            if node.powered and self.reset_at == at:
                node.self_fence("the watchdog's time is over")

        world.at(at, trigger_reset)
