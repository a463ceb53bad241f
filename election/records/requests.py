"""Requests of operators; the daemons carry them out."""

from __future__ import annotations

from dataclasses import dataclass

from election.records.document import Count, Name, NameOrNone, Record


@dataclass(frozen=True, slots=True)
class Move(Record):
    """The operator's request to move a group once; deleted by the transaction that hands the group over.

    `to` is empty for "anywhere else"; `from_session_revision` is the session it is to leave, so that a request that
    comes after the move is void.
    """

    id: str
    to: NameOrNone
    from_node: Name
    from_session_revision: Count
    by: str = ""


@dataclass(frozen=True, slots=True)
class Scheduled(Record):
    """The operator's request to move a group once at `at_ms` (UTC in ms since 1970), to the node `to` or (empty) to the
    best other one. The owner then puts a Move in its place. `at`: the same time, for people."""

    id: str
    to: NameOrNone
    at_ms: Count
    at: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Stop(Record):
    """The operator's request that a group runs nowhere. There until it is taken back. `at`: wall time, for people."""

    by: str = ""
    at: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Restart(Record):
    """The operator's request to stop a group and start it again where it is, once: in the ownership with `epoch`. Its
    owner deletes it when everything is stopped, or when it is of another ownership. `epoch` 0: of a group that runs on
    every node; it is deleted when all of them have restarted theirs."""

    id: str
    epoch: Count
    by: str = ""


@dataclass(frozen=True, slots=True)
class Ban(Record):
    """The operator's request that a group is kept off a node. `until_ms`: by UTC in ms since 1970; from then on a node
    deletes it. 0: it is there until it is taken back. `at`, `until`: wall time, for people."""

    by: str = ""
    at: str = ""
    until_ms: Count = 0
    until: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Maintenance(Record):
    """The operator's request that a group, a node, or everything, is left alone. Its fields are those of a Ban."""

    by: str = ""
    at: str = ""
    until_ms: Count = 0
    until: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Cleanup(Record):
    """The operator's word that what failed of a group on `node` (empty: anywhere) is repaired. The newest one stays:
    daemons act once for each `id`."""

    id: str
    node: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Confirm(Record):
    """The operator's word that the dead session `session_id` runs nothing any more. Daemons carry it out as soon as no
    device can hit the node, and delete it then."""

    session_id: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class FenceTest(Record):
    """The operator's request that every live node tests every fence device now."""

    id: str
    by: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Drain(Record):
    """The operator's request that a server gets no new connections; those that it has go on. There until it is taken
    back. `at`: wall time, for people."""

    by: str = ""
    at: str = ""
    reason: str = ""
