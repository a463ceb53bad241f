"""This node's session: opened, renewed, lapsed, deposed, closed (docs/protocol.md, *Session*). Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from election.clock import Instant, earlier, owner_elapsed, remaining
from election.keys import Keys
from election.records import FenceRecord, RecordError, Session
from election.store import Compare, Condition, Delete, Get, KeyValue, Put, Txn, TxnResult
from election.view import Unreadable, Versioned, View

# Attempt numbers of one daemon begin here above those of the one before it, so that none is used twice.
ATTEMPTS_OF_A_DAEMON = 1 << 32

# How many sent attempts are remembered; an answer older than these is of no use to anyone.
REMEMBERED_ATTEMPTS = 64

State = Literal["none", "live", "deposed", "foreign"]


class Owner(NamedTuple):
    """The owner of the sessions here: a node's name, and the machine and boot that a session is attested by. `machine`:
    see election.machine; "" as long as it is not known."""

    node: str
    machine_id: str
    boot_id: str
    machine: str = ""


@dataclass(slots=True)
class SessionState:
    """The session and the attempts under way.

    `mod_revision` is the revision I last wrote `nodes/<node>` at. `sent` holds for each attempt until when it makes
    the session valid: counted from the instant taken before its request was sent, by the lease written in it.
    `overwritten`: at which revision, and since when as seen here, the key holds what is no session at all.
    """

    keys: Keys
    owner: Owner
    lease_ms: float
    attempt: int = 0
    state: State = "none"
    session_id: str = ""
    session_revision: int = 0
    mod_revision: int = 0
    valid_until: Instant | None = None
    renewed_at: Instant | None = None
    last_sent: Instant | None = None
    in_flight: int | None = None
    watchdog: bool = False
    overwritten: tuple[int, Instant] | None = None
    sent: dict[int, Instant] = field(default_factory=dict)

    def next_attempt(self, now: Instant) -> int:
        """A number never used before, noted with the instant before its request.

        A lease shorter than the one before counts from here on: the answer may be lost, and observers count
        by what is written.
        """
        self.attempt += 1
        until = now.plus(self.lease_ms)
        self.sent[self.attempt] = until
        if self.valid_until is not None:
            self.valid_until = earlier(self.valid_until, until)
        while len(self.sent) > REMEMBERED_ATTEMPTS:
            del self.sent[next(iter(self.sent))]
        self.last_sent = now
        self.in_flight = self.attempt
        return self.attempt

    def time_left(self, now: Instant) -> float:
        """Milliseconds until `valid_until`, negative when past it or without a session."""
        if self.state != "live" or self.valid_until is None:
            return -1.0
        return remaining(self.valid_until, now)


def as_written(session: SessionState, session_id: str, attempt: int) -> Session:
    """The session as it is written for `attempt`."""
    owner, lease_ms = session.owner, int(session.lease_ms)
    return Session(session_id, owner.machine_id, owner.boot_id, lease_ms, attempt, session.watchdog, owner.machine)


def renew(session: SessionState, identity: Condition, now: Instant, still_ms: float = math.inf) -> tuple[int, Txn]:
    """The next attempt to renew: if `nodes/N` is what I last wrote, write it with a new attempt number. What cannot be
    read there, in a key that is still the one I created, is written over once it has not moved for `still_ms`: another
    process that held my session would have renewed it meanwhile.

    The failure branch reads the key: with it an attempt is also the read that has to come before the next
    attempt when an answer was lost, in one round trip.
    """
    attempt = session.next_attempt(now)
    key, last = session.keys.node(session.owner.node), session.mod_revision
    if session.overwritten is not None and owner_elapsed(session.overwritten[1], now) >= still_ms:
        last = session.overwritten[0]
    txn = Txn(
        (Compare(key, "mod", last), identity),
        (Put(key, as_written(session, session.session_id, attempt).to_json()),),
        (Get(key), Get(session.keys.identity)),
    )
    return attempt, txn


def answered(session: SessionState, attempt: int, result: TxnResult, now: Instant) -> None:
    """Take the answer to `attempt`, whenever it comes."""
    if session.in_flight == attempt:
        session.in_flight = None
    if session.state not in ("live", "none"):
        return
    if result.succeeded:
        _written(session, attempt, result.revision, now)
    elif (key := session.keys.node(session.owner.node)) in result.reads:
        resolve(session, result.reads[key], result.revision, now)


def lost(session: SessionState, attempt: int) -> None:
    """The answer to `attempt` is lost or late: it proves nothing."""
    if session.in_flight == attempt:
        session.in_flight = None


def seen(session: SessionState, stored: Versioned[Session] | None, newest: int) -> None:
    """Take what list or watch show of `nodes/N`, known as of revision `newest`: only an end of the session is
    news; what became of attempts their answers tell."""
    if session.state != "live" or newest <= session.mod_revision:
        return
    mine = (session.session_id, session.session_revision)
    if stored is None or (stored.record.session_id, stored.create_revision) != mine:
        session.state = "deposed"


def overwritten(session: SessionState, bad: Unreadable, now: Instant) -> None:
    """`nodes/N` holds a document that is no session. Its writer has not ended mine, as long as the key is the one that
    I created; a key that was created anew tells that mine was deleted."""
    if session.state != "live" or bad.mod_revision <= session.mod_revision:
        return
    if bad.create_revision != session.session_revision:
        session.state = "deposed"
    elif session.overwritten is None or bad.mod_revision > session.overwritten[0]:
        session.overwritten = (bad.mod_revision, now)


def resolve(session: SessionState, stored: KeyValue | None, newest: int, now: Instant) -> None:
    """Learn from reading `nodes/N`, as of revision `newest`, what became of my attempts."""
    if session.state != "live" or newest < session.mod_revision:
        return  # read before my last write, perhaps before this session was opened: old news
    if stored is None:
        session.state = "deposed"
        return
    try:
        record = Session.from_json(stored.value, stored.key)
    except RecordError as error:
        overwritten(session, Unreadable(error.problem, stored.create_revision, stored.mod_revision), now)
        return
    if record.session_id != session.session_id:
        session.state = "deposed"
    elif stored.mod_revision == session.mod_revision:
        return
    elif record.attempt in session.sent:
        _written(session, record.attempt, stored.mod_revision, now)
    elif record.attempt < session.attempt // ATTEMPTS_OF_A_DAEMON * ATTEMPTS_OF_A_DAEMON:
        # A write of the daemon before this one, that arrived late. Its instant is not known: the revision
        # is taken, `valid_until` stays what the guard said.
        session.mod_revision = stored.mod_revision
    else:
        session.state = "foreign"


def opened(session: SessionState, session_id: str, attempt: int, revision: int, now: Instant) -> None:
    """The transaction that opens the session was carried out at `revision`."""
    session.state, session.session_id, session.session_revision = "live", session_id, revision
    session.mod_revision, session.valid_until, session.overwritten = 0, None, None
    _written(session, attempt, revision, now)


def adopt(session: SessionState, stored: Versioned[Session], valid_until: Instant, incarnation: int) -> None:
    """Go on with the session that the daemon before this one held: `valid_until` comes from the guard."""
    session.state = "live"
    session.session_id, session.session_revision = stored.record.session_id, stored.create_revision
    session.mod_revision, session.valid_until = stored.mod_revision, valid_until
    session.overwritten = None
    session.attempt = incarnation * ATTEMPTS_OF_A_DAEMON


def open_txn(session: SessionState, session_id: str, fence_mod: int, identity: Condition, now: Instant) -> Txn:
    """Open: if there is no `nodes/N` and `fence/N` is the safe one I read, put `nodes/N`."""
    node = session.owner.node
    attempt = session.next_attempt(now)
    key, fence = session.keys.node(node), session.keys.fence(node)
    return Txn(
        (Compare(key, "create", 0), Compare(fence, "mod", fence_mod), identity),
        (Put(key, as_written(session, session_id, attempt).to_json()),),
        (Get(key), Get(fence), Get(session.keys.identity)),
    )


def close_txn(view: View, node: str, stored: Versioned[Session] | None, record: FenceRecord) -> Txn:
    """Close: put `fence/N` `safe` with what this node attests, deleting `nodes/N` if it is there. A fence record that
    cannot be read, beside a session, is an earlier session's: that is over and done with."""
    key, fence = view.keys.node(node), view.keys.fence(node)
    own = Compare(key, "mod", stored.mod_revision if stored else 0)
    delete = (Delete(key),) if stored else ()
    return Txn(
        (own, Compare(fence, "mod", view.mod_of(fence)), view.same_history),
        (Put(fence, record.to_json()), *delete),
        (Get(key), Get(fence), Get(view.keys.identity)),
    )


def dead(session: Versioned[Session]) -> FenceRecord:
    """The fence record of a session that ends at what was observed of it."""
    record = session.record
    return FenceRecord(
        session_id=record.session_id,
        session_revision=session.create_revision,
        deposed_revision=session.mod_revision,
        lease_ms=record.lease_ms,
        machine_id=record.machine_id,
        boot_id=record.boot_id,
        state="pending",
        watchdog=record.watchdog,
        machine=record.machine,
    )


def attest(record: FenceRecord, owner: Owner) -> FenceRecord:
    """The record made safe by the node itself: it stopped everything, or it has booted since. A record that knows
    of no boot (after `recover`, or of a lost session) cannot tell that it has."""
    evidence = "self-stop" if record.boot_id in ("", owner.boot_id) else "reboot"
    return replace(record, state="safe", evidence=evidence, by=owner.node)


def _written(session: SessionState, attempt: int, revision: int, now: Instant) -> None:
    """`attempt` was written at `revision`: valid from before its request was sent, never from the answer."""
    if revision <= session.mod_revision:
        return  # a later write of mine is known: it is the one that observers count by
    session.mod_revision = revision
    if session.overwritten is not None and session.overwritten[0] < revision:
        session.overwritten = None
    session.valid_until = session.sent.get(attempt, session.valid_until)
    session.renewed_at = now
