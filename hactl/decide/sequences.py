"""The order in which an effect that concerns the guard is carried out (docs/protocol.md, *Session*). Pure.

The daemon and the simulation both carry out these lists: an operation begins when the one before it has ended well.
When one fails the rest is left out, and the effect has failed.
"""

from __future__ import annotations

from typing import NamedTuple

from hactl.model.cluster import GroupSpec
from hactl.model.effects import GuardBegin, GuardExtend, GuardRegister, GuardUnregister, KeepStarted


class KeepSession(NamedTuple):
    """Keep the session in `state_dir`, for the next daemon. A disk that is full or slow does not fail it."""

    session_id: str


class HoldSession(NamedTuple):
    """Keep where no copy of the disk has it that this boot held the session."""

    session_id: str


class KeepDefinition(NamedTuple):
    """Keep the group's definition on disk, and see that it is there: the group is stopped by it."""

    group: GroupSpec


class TellGuard(NamedTuple):
    """Send the message to the guard. `answer`: the `name` of the event GuardAnswered with its answer, "" for none."""

    answer: str
    message: GuardMessage


GuardMessage = GuardBegin | GuardExtend | GuardRegister | GuardUnregister
Kept = GuardMessage | KeepStarted
Operation = KeepSession | HoldSession | KeepDefinition | TellGuard


def sequence(effect: Kept) -> tuple[Operation, ...]:
    """The operations of the effect, in their order."""
    match effect:
        case GuardBegin():
            return KeepSession(effect.session_id), HoldSession(effect.session_id), TellGuard("begin", effect)
        case GuardExtend():
            return (TellGuard("extend", effect),)
        case GuardRegister():
            return KeepDefinition(effect.group), TellGuard(f"{effect.group.name}/{effect.resource.name}", effect)
        case GuardUnregister():
            return (TellGuard("", effect),)
        case KeepStarted():
            return (KeepDefinition(effect.group),)
