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
