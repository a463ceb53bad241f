"""The simulated registrar: the operations of `hactl.decide.sequences`, one after another, on a disk that takes time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fencing.guard import state as guard
from hactl.decide.sequences import (
    GuardMessage,
    HoldSession,
    KeepDefinition,
    KeepSession,
    Operation,
    TellGuard,
    sequence,
)
from hactl.model import effects, events

if TYPE_CHECKING:
    from tests.simulation.node import Daemon, SimNode

IN_TURN = (effects.GuardRegister, effects.GuardUnregister)


class Registrar:
    """Of one node. What a daemon leaves half done when it is killed stays half done."""

    def __init__(self, node: SimNode) -> None:
        self.node = node
        self._turn: list[tuple[Daemon, GuardMessage]] = []

    def carry_out(self, daemon: Daemon, effect: GuardMessage) -> None:
        """Begin with it; registrations wait for those before them."""
        if isinstance(effect, effects.GuardRegister):
            self.node.world.checks.registers(self.node, effect)
        if isinstance(effect, effects.GuardBegin):
            self.node.session_ids.add(effect.session_id)
        if not isinstance(effect, IN_TURN):
            self._go_on(daemon, effect, list(sequence(effect)))
            return
        self._turn = [waiting for waiting in self._turn if waiting[0] is self.node.daemon]
        self._turn.append((daemon, effect))
        if len(self._turn) == 1:
            self._go_on(daemon, effect, list(sequence(effect)))

    def _go_on(self, daemon: Daemon, effect: GuardMessage, left: list[Operation]) -> None:
        node, world = self.node, self.node.world
        if daemon is not node.daemon:
            return
        if node.daemon_paused():
            node.when_awake(daemon, lambda: self._go_on(daemon, effect, left))
        elif left and self._operate(daemon, effect, left[0]):
            wait = 0.0 if isinstance(left[0], TellGuard) else world.rng.uniform(0.05, world.plan.disk_ms)
            world.after(wait, lambda: self._go_on(daemon, effect, left[1:]))
        elif isinstance(effect, IN_TURN):
            self._turn.pop(0)
            if self._turn:
                daemon, effect = self._turn[0]
                self._go_on(daemon, effect, list(sequence(effect)))

    def _operate(self, daemon: Daemon, effect: GuardMessage, operation: Operation) -> bool:
        """Whether it has ended well."""
        node = self.node
        match operation:
            case KeepSession():
                node.disk["sid"], node.disk["srev"] = operation.session_id, daemon.state.session.session_revision
            case HoldSession():
                node.held.append(operation.session_id)
            case KeepDefinition():
                group = operation.group
                if node.world.plan.broken.get((node.name, group.name)) == "register":
                    assert isinstance(effect, effects.GuardRegister)
                    name = f"{group.name}/{effect.resource.name}"
                    refused = events.GuardAnswered(name, False, "simulated")
                    node.world.after(0.2, lambda: node.deliver(daemon, refused))
                    return False
                node.disk["specs"][group.name], node.disk["boot"] = group, node.boots
            case TellGuard():
                node.guard.send(daemon, operation.answer, _message(operation.message))
        return True


def _message(message: GuardMessage) -> guard.GuardEvent:
    match message:
        case effects.GuardBegin():
            return guard.Begin(*message)
        case effects.GuardExtend():
            return guard.Extend(*message)
        case effects.GuardRegister():
            return guard.Register(f"{message.group.name}/{message.resource.name}", ())
        case effects.GuardUnregister():
            return guard.Unregister(f"{message.group}/{message.resource}")
