"""The peers' sessions as seen from here (docs/protocol.md, *Failure detection*). Pure.

A peer counted its lease from before it sent; I count from when I saw the result. So its lease ends before
mine of it does, whatever the network did to either message, as long as the clocks run at nearly one rate.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from election.clock import Instant, observer_elapsed, owner_elapsed
from election.records import FenceRecord, Session
from election.view import Versioned

# Two clocks, each 1 % off, and a rest for rounding (docs/protocol.md, *Timing*: epsilon).
CLOCK_RATE_MARGIN = 0.025


def limit_ms(lease_ms: float) -> float:
    """After how long without a change a lease of `lease_ms` is over for an observer."""
    return lease_ms * (1 + CLOCK_RATE_MARGIN)


@dataclass(slots=True)
class Sighting:
    """The newest state seen of a peer's session, and when it was first seen (`over_since` may be later: the
    clocks restart when I was blind myself)."""

    session_revision: int
    mod_revision: int
    over_since: Instant
    suspect_since: Instant
    renewed: bool

    def is_of(self, session: Versioned[Session]) -> bool:
        """Whether this very state of the session was seen."""
        return (self.session_revision, self.mod_revision) == (session.create_revision, session.mod_revision)


@dataclass(slots=True)
class DeadSighting:
    """Since when, for me, the lease of a dead session runs out; kept while its fence record is this one."""

    session_id: str
    session_revision: int
    since: Instant


@dataclass(slots=True)
class Observer:
    """All that this node has seen of its peers.

    `heartbeat_ms` and `election_ms`: how long a gap between my own renewals may be before what I did not see
    in it counts against nobody. For suspicion that is 2h; for `over` it is 2h + 2E, since the lease is sized
    (T - M >= 4h + 2E) to outlast one election of the store's leader.

    `since_gap`: a revision of the store that is not older than the end of my last gap. What was written up to it may
    be from before the gap, however late I see it. None: I know of no such revision yet.
    """

    heartbeat_ms: float
    election_ms: float
    sightings: dict[str, Sighting] = field(default_factory=dict)
    dead: dict[str, DeadSighting] = field(default_factory=dict)
    last_own_renewal: Instant | None = None
    since_gap: int | None = None

    def forget(self) -> None:
        """Nothing that was seen holds any more: the store's history is another one."""
        self.sightings.clear()
        self.dead.clear()
        self.last_own_renewal = self.since_gap = None

    def on_session(self, node: str, session: Versioned[Session] | None, now: Instant) -> None:
        """`nodes/<node>` is now `session`. What was seen of a session that is gone is kept: its fence record,
        which comes with the same transaction, may refer to it."""
        seen = self.sightings.get(node)
        if session is not None and (seen is None or not seen.is_of(session)):
            renewed = seen is not None and seen.session_revision == session.create_revision
            # A list, or a watch that lags, shows a renewal from before my gap only now: it says nothing of the peer.
            renewed = renewed and self.since_gap is not None and session.mod_revision > self.since_gap
            self.sightings[node] = Sighting(session.create_revision, session.mod_revision, now, now, renewed)

    def on_fence(self, node: str, record: FenceRecord | None, now: Instant) -> None:
        """`fence/<node>` is now `record`. My clock counts from my sighting only if I saw exactly the state at
        which the session was deposed, else from my first sight of the record."""
        if record is None:
            self.dead.pop(node, None)
            return
        if self.dead_sighting(node, record) is not None:
            return
        seen, revision = self.sightings.get(node), record.session_revision
        if seen is not None and (seen.session_revision, seen.mod_revision) != (revision, record.deposed_revision):
            seen = None
        self.dead[node] = DeadSighting(record.session_id, revision, seen.over_since if seen else now)

    def dead_sighting(self, node: str, record: FenceRecord) -> DeadSighting | None:
        """Mine of the dead session that the record is about."""
        seen = self.dead.get(node)
        same = seen and (seen.session_id, seen.session_revision) == (record.session_id, record.session_revision)
        return seen if same else None

    def on_own_renewal(self, now: Instant, sent: Instant | None = None, revision: int = 0) -> None:
        """My own renewal (or opening) succeeded; after a gap the clocks of live peers restart: I may have been
        the blind one. Not those of dead sessions: they cannot have renewed meanwhile. `sent`: when I asked for what
        told me so, as of the store's `revision`; None: not known."""
        gap = float("inf") if self.last_own_renewal is None else owner_elapsed(self.last_own_renewal, now)
        if gap > 2 * self.heartbeat_ms:
            for seen in self.sightings.values():
                # Suspected again only once it was seen to renew: else its whole lease counts (S4).
                seen.suspect_since, seen.renewed = now, False
                if gap > self.longest_gap_ms:
                    seen.over_since = now
            self.since_gap = None
        # An answer that was long under way, or long unread, may be from before the gap itself.
        if self.since_gap is None and sent is not None and owner_elapsed(sent, now) <= 2 * self.heartbeat_ms:
            self.since_gap = revision
        self.last_own_renewal = now

    @property
    def longest_gap_ms(self) -> float:
        """The longest gap between my own renewals in which what I did not see of a peer still counts: 2h + 2E."""
        return 2 * self.heartbeat_ms + 2 * self.election_ms

    def in_gap(self, now: Instant) -> bool:
        """Whether such a gap lasts: while my renewals fail, the silence of peers is not evidence."""
        return self.last_own_renewal is None or owner_elapsed(self.last_own_renewal, now) > self.longest_gap_ms

    def over(self, node: str, session: Versioned[Session], now: Instant) -> bool:
        """Whether the lease in `nodes/<node>`, as observed, has run out for certain."""
        seen = self.sightings.get(node)
        if seen is None or not seen.is_of(session):
            return False
        return observer_elapsed(seen.over_since, now) >= limit_ms(session.record.lease_ms)

    def suspected(self, node: str, session: Versioned[Session], suspect_after_ms: float, now: Instant) -> bool:
        """Whether the node has been silent for so long that it is taken for dead before its lease is over. Only one
        that was seen to renew; and not while I may be the blind one."""
        seen = self.sightings.get(node)
        if seen is None or not seen.renewed or not seen.is_of(session):
            return False
        if self.last_own_renewal is None or owner_elapsed(self.last_own_renewal, now) > 2 * self.heartbeat_ms:
            return False
        return observer_elapsed(seen.suspect_since, now) >= suspect_after_ms

    def replied_since(self, node: str, replied_at: Instant) -> bool:
        """Whether what was heard at `replied_at` is news: nothing was seen of the node's session after it."""
        seen = self.sightings.get(node)
        return seen is not None and observer_elapsed(seen.suspect_since, replied_at) >= 0

    def silent_ms(self, node: str, now: Instant) -> float:
        """For how long nothing new was seen of the node's session."""
        seen = self.sightings.get(node)
        return 0.0 if seen is None else observer_elapsed(seen.over_since, now)

    def heard_within(self, node: str, limit_ms: float, now: Instant) -> bool:
        """Whether the node's session was seen to be renewed, and that not longer ago than this."""
        seen = self.sightings.get(node)
        return seen is not None and seen.renewed and self.silent_ms(node, now) <= limit_ms

    def dead_over(self, node: str, record: FenceRecord, now: Instant, margin_ms: float = 0.0) -> bool:
        """Whether the lease of the dead session in `fence/<node>`, and `margin_ms` more, has run out for certain."""
        seen = self.dead_sighting(node, record)
        return seen is not None and observer_elapsed(seen.since, now) >= limit_ms(record.lease_ms + margin_ms)
