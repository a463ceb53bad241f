"""What a node's daemon does to fence others: its fence agents, its question to a peer's guard, and taking itself
down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hactl.model import effects, events

if TYPE_CHECKING:
    from tests.simulation.node import Daemon, SimNode

Fencing = effects.FenceAct | effects.FenceCancel | effects.AskGuard | effects.SelfFence


class FenceAgents:
    """Of one node. An agent is a list of one flag: whether it is alive. No device answers it until `deaf_until`; what
    is decided is carried out only after `between_until`."""

    def __init__(self, node: SimNode) -> None:
        self.node = node
        self.agents: list[list[bool]] = []
        self.agent_of: dict[int, list[bool]] = {}  # by the number of the daemon's action
        self.ended_actions: set[int] = set()
        self.between_until = self.deaf_until = 0.0

    def begin(self) -> None:
        """A new daemon counts its actions from the beginning."""
        self.agent_of.clear()
        self.ended_actions.clear()

    def end(self) -> None:
        """All agents are killed."""
        for alive in self.agents:
            alive[0] = False
        self.agents.clear()

    def carry_out(self, daemon: Daemon, effect: Fencing) -> None:
        """Carry out one effect of the daemon's."""
        node, world = self.node, self.node.world
        match effect:
            case effects.FenceCancel():
                world.after(1.0, lambda: self._end_action(daemon, effect.id))
            case effects.FenceAct():
                wait = max(0.0, self.between_until - world.now)
                world.after(wait, lambda: self._perform(daemon, effect))
            case effects.AskGuard():
                self._ask_guard(daemon, effect)
            case effects.SelfFence():
                group, slash, _ = effect.reason.partition("/")
                if slash:  # for a group; else since its guard is dead
                    world.checks.took_itself_down(node, group)
                node.self_fence(effect.reason)

    def _perform(self, daemon: Daemon, act: effects.FenceAct) -> None:
        node = self.node
        if act.id in self.ended_actions or daemon is not node.daemon:
            return
        if node.daemon_paused():
            node.when_awake(daemon, lambda: self._perform(daemon, act))
        else:
            self.agent_of[act.id] = node.world.devices.perform(node, daemon, act)

    def _end_action(self, daemon: Daemon, number: int) -> None:
        """An agent is ended before its time, and seen dead."""
        if daemon is not self.node.daemon:
            return
        self.ended_actions.add(number)
        alive = self.agent_of.pop(number, [True])
        if alive[0]:  # else it has ended by itself, and its outcome is on its way
            alive[0] = False
            self.node.deliver(daemon, events.FenceActed(number, False, "unknown", "ended"))

    def _ask_guard(self, daemon: Daemon, ask: effects.AskGuard) -> None:
        """A datagram to a peer's guard, and one back."""
        node, world, other = self.node, self.node.world, self.node.world.nodes[ask.node]

        def arrive() -> None:
            state = other.guard.state
            if state is not None and other.powered and not other.guard.paused() and not other.cut("answers"):
                holds = state.session_id == ask.session_id and state.phase in ("holding", "stopping")
                answer = events.GuardReplied(ask.node, ask.session_id, holds)
                world.after(world.delay(), lambda: node.deliver(daemon, answer))

        if not node.cut("requests") and world.rng.random() >= world.plan.loss:
            world.after(world.delay(), arrive)
