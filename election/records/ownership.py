"""The owner of a group, and failures of the group on a node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from election.records.document import STORED_NAMES, Count, Name, NameOrNone, Record

# The generation is the high part of every epoch: `hactl recover` raises it, and with it all later epochs.
GENERATION_BITS = 44

# An epoch whose low part is beyond this leaves the next ones no room: nobody has counted that far.
LAST_EPOCH = 1 << (GENERATION_BITS - 1)


class Holder(msgspec.Struct, frozen=True, rename=STORED_NAMES):
    """A session that may be running a group. A part of an ownership, which is not kept by fields it does not know."""

    node: Name
    session_id: str
    session_revision: Count


OwnershipState = Literal["owned", "handoff", "released", "unmanaged"]


@dataclass(frozen=True, slots=True)
class Ownership(Record):
    """The owner of a group. `holders` are earlier owners that may still run it beside the owner (overlap)."""

    node: Name
    session_id: str
    session_revision: Count
    epoch: Count
    state: OwnershipState
    holders: tuple[Holder, ...] = ()
    overlap: bool = False
    reason: str = ""

    def problem(self) -> str:
        """An epoch after which none could follow."""
        low = self.epoch & ((1 << GENERATION_BITS) - 1)
        return "its `epoch` leaves no room for the next ones" if low >= LAST_EPOCH else ""

    @property
    def holder(self) -> Holder:
        """The owner itself as a holder."""
        return Holder(self.node, self.session_id, self.session_revision)

    @property
    def runners(self) -> tuple[Holder, ...]:
        """The sessions that may be running the group: the owner's, and those of earlier owners in an overlap."""
        return (self.holder, *self.holders) if self.state in ("owned", "unmanaged") else self.holders


def next_epoch(generation: int, previous: int, read_revision: int) -> int:
    """The epoch of a new ownership: grows over releases, deletions of the key, and restores (S3)."""
    low = (1 << GENERATION_BITS) - 1
    same_history = previous >> GENERATION_BITS == generation
    return (generation << GENERATION_BITS) | max((previous & low) + 1 if same_history else 1, read_revision)


@dataclass(frozen=True, slots=True)
class Failure(Record):
    """A group failed on a node: not placed there until this is deleted (by its writer, when expired). `unregistered`:
    its start could not even be begun, as the node itself was in trouble."""

    count: Count
    resource: str
    reason: str
    wall_time: str = ""
    unregistered: bool = False


@dataclass(frozen=True, slots=True)
class Flapping(Record):
    """The moves of a group that its failures caused, lately: of each the epoch that it gave the group. `held`: the node
    that it stays on, since there were too many of them; `reason`: why it failed there."""

    moves: tuple[Count, ...] = ()
    held: NameOrNone = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Block(Record):
    """A group that nobody starts until an operator says so: `node`, in its session `session_id`, took itself down since
    `resource` could not be stopped. `fenced`: it had its peers fence it instead; then the group starts elsewhere, and
    nobody is fenced for it a second time until an operator says so."""

    node: str
    session_id: str
    resource: str
    reason: str
    fenced: bool = False
