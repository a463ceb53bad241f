"""The resources of a node as they really are, and the agents that start, stop and look at them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hactl.model import effects, events
from hactl.model.resources import PromoteSpec

if TYPE_CHECKING:
    from tests.simulation.node import Daemon, SimNode

Name = tuple[str, str]


@dataclass
class Action:
    """An agent's action on a resource, for the daemon that wanted it. `alive`: nobody has ended it."""

    daemon: Daemon
    act: effects.Act
    session_id: str
    alive: bool = True

    @property
    def name(self) -> Name:
        return self.act.group, self.act.resource.name


class Resources:
    """Of one node. `running`: what runs, whatever the daemon believes. The agents stand still until `paused_until` when
    they start something; nobody can tell a group's state until `untold_until`. `scores`: of groups that promote one."""

    def __init__(self, node: SimNode) -> None:
        self.node = node
        self.running: set[Name] = set()
        self.actions: dict[Name, Action] = {}
        self.paused_until = self.slow_stops_until = 0.0
        self.untold_until: dict[str, float] = {}
        self.scores: dict[str, int] = {}

    # --- actions ------------------------------------------------------------------------------------------

    def begin(self, daemon: Daemon, act: effects.Act) -> None:
        """An agent carries out an action; a newer one on the same resource ends the one before it."""
        world = self.node.world
        # The daemon may be dead when the action begins.
        action = Action(daemon, act, daemon.state.session.session_id)
        world.checks.acts(daemon.state, self.node, act)
        if action.name in self.actions:
            self.actions[action.name].alive = False
        self.actions[action.name] = action
        delay = world.rng.uniform(0.2, 5)
        if act.action == "start" and self.paused_until > world.now:
            delay = self.paused_until - world.now
        world.after(delay, lambda: self._carry_out(action))

    def end_actions(self) -> None:
        """All agents are killed."""
        for action in self.actions.values():
            action.alive = False
        self.actions.clear()

    def _carry_out(self, action: Action) -> None:
        if self._held_up(action, lambda: self._carry_out(action)):
            return
        rng, plan, group = self.node.world.rng, self.node.world.plan, action.act.group
        match action.act.action:
            case "start":
                self._start(action)
            case "stop":
                slow = self.slow_stops_until > self.node.world.now
                self._last(action, rng.uniform(*plan.stop_ms) * (20 if slow else 1), self.stops(group), "stopped")
            case "kill":
                self._last(action, rng.uniform(5, 60), self.stops(group), "stopped")
            case _:
                self._last(action, rng.uniform(1, 20), not self.untold(group), "")

    def _start(self, action: Action) -> None:
        rng, plan = self.node.world.rng, self.node.world.plan
        broken = plan.broken.get((self.node.name, action.act.group))
        if broken and broken != "start":
            self._last(action, 1e9 if broken == "hang" else rng.uniform(*plan.start_ms), False, "")
            return
        resource = action.act.resource
        if isinstance(resource, PromoteSpec) and not self.node.world.instances.is_running(self.node):
            self._last(action, 5.0, False, "")
            return
        self.running.add(action.name)
        self.node.world.checks.started(self.node, action.act, action.session_id)
        wait = rng.uniform(*plan.start_ms)
        # In vain where it is broken, though something of it may be left running.
        self._last(action, wait, not broken and rng.random() >= plan.failing, "running")

    def _last(self, action: Action, wait: float, ok: bool, becomes: Literal["running", "stopped", ""]) -> None:
        """The action takes `wait`, and fails at its deadline."""
        limit = action.act.timeout_ms
        late = wait > limit
        self.node.world.after(min(wait, limit), lambda: self._finish(action, ok and not late, becomes))

    def _finish(self, action: Action, ok: bool, becomes: Literal["running", "stopped", ""]) -> None:
        if self._held_up(action, lambda: self._finish(action, ok, becomes)):
            return
        node, name = self.node, action.name
        self.actions.pop(name, None)
        if becomes == "stopped" and ok:
            self.stop(name)
            if action.act.action == "kill" and isinstance(action.act.resource, PromoteSpec):
                node.world.instances.kill(node)
        if becomes == "running" and not ok and node.world.rng.random() < 0.5:
            self.running.discard(name)
        health: Any = "running" if name in self.running else "stopped"
        score = self.score(action) if ok and action.act.action == "probe" else None
        acted = events.Acted(action.act.id, ok, health if ok else "failed", "" if ok else "simulated", score)
        node.deliver(action.daemon, acted)

    def _held_up(self, action: Action, again: Callable[[], None]) -> bool:
        """Whether an agent is to do nothing now: it was ended, or it stands still with the whole node."""
        node = self.node
        if not action.alive or not node.powered:
            return True
        if node.frozen():
            node.world.at(node.frozen_until + 0.02, again)
            return True
        return False

    def score(self, action: Action) -> int | None:
        """How good this node's instance would be to be promoted; None: it does not run, or nothing is promoted."""
        resource = action.act.resource
        runs = isinstance(resource, PromoteSpec) and any(name[0] == resource.options.group for name in self.running)
        return self.scores.get(action.act.group, 0) if runs else None

    # --- as they are --------------------------------------------------------------------------------------

    def untold(self, group: str) -> bool:
        """Whether nobody can tell now whether the group runs here, nor stop it: what does both is broken."""
        world = self.node.world
        broken = world.plan.broken.get((self.node.name, group)) == "probe"
        return broken or self.untold_until.get(group, 0.0) > world.now

    def stops(self, group: str) -> bool:
        """Whether a stop succeeds now."""
        world = self.node.world
        if world.unstoppable.get(group, 0.0) > world.now or self.untold(group):
            return False
        return world.rng.random() >= world.plan.failing

    def stop(self, name: Name) -> None:
        """A resource is stopped."""
        self.node.world.checks.stopped(self.node, name)
        self.running.discard(name)
        self._ended(name)

    def _ended(self, name: Name) -> None:
        if self.node.world.checks.is_clone(name[0]):
            self.node.world.instances.died(self.node)

    def die(self, name: Name) -> None:
        """A resource ends by itself."""
        node = self.node
        if name in self.running and name not in self.actions:
            self.running.discard(name)
            self._ended(name)
            node.world.say("%s: %s/%s dies", node.name, *name)
            daemon = node.daemon
            node.world.after(5, lambda: node.deliver(daemon, events.Observed(*name, "stopped", "died")))
