"""A liveness query to the guard of another node, and its reply: one datagram each (docs/protocol.md, *Asking the
guard*). Pure.

A datagram is an HMAC-SHA256 by the cluster's key over all that follows it, then a JSON object of ASCII. It says of
itself whether it is a query or a reply, so that neither can be sent back as the other. A reply repeats the query's
nonce, which is used once: an old reply is worth nothing. A reply only postpones a suspicion, and is never evidence (S2
does not rest on it).
"""

from __future__ import annotations

import hmac
import json
from typing import Any, NamedTuple

from election.clock import Instant, remaining
from fencing.guard.state import GuardState

VERSION = 1
# A name has 63 characters at most, a session's identifier far fewer: more is no query.
MAX_DATAGRAM = 1024
MIN_KEY = 32
NONCE_BYTES = 16

_MAC_BYTES = 32
# The key may have other uses one day: a MAC with this prefix is good for this one only.
_PURPOSE = b"hactl ask-the-guard\0"


class AskError(Exception):
    """A datagram that must not be served. `why`, in one word, is the counter: `size`, `mac` (another key or no
    peer at all), `form`, `version`, `cluster`, `node`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


# The fields on the wire, in the order of the tuples below.
_QUERY = ("cluster", "node", "sid", "nonce")
_REPLY = (*_QUERY, "held_sid", "holds", "daemon", "left_ms")


class LivenessQuery(NamedTuple):
    """Does the guard of `node` hold the deadline of session `session_id`? `nonce`: hexadecimal, never used before."""

    cluster: str
    node: str
    session_id: str
    nonce: str


class LivenessReply(NamedTuple):
    """A guard's reply. `session_id` and `nonce` are the query's, `held_session_id` is the session that the guard has.

    `holds`: it still guards that session, or is just stopping everything. `daemon`: one is connected, which may hang
    all the same. `left_ms`: until that session ends, 0 where it is over or is not this one.
    """

    cluster: str
    node: str
    session_id: str
    nonce: str
    held_session_id: str
    holds: bool
    daemon: bool
    left_ms: int


def encode_query(key: bytes, query: LivenessQuery) -> bytes:
    """The query as a datagram."""
    return _seal(key, "ask", dict(zip(_QUERY, query, strict=True)))


def encode_reply(key: bytes, reply: LivenessReply) -> bytes:
    """The reply as a datagram."""
    return _seal(key, "told", dict(zip(_REPLY, reply, strict=True)))


def decode_query(key: bytes, packet: bytes) -> LivenessQuery:
    """A query from a datagram. Raises AskError."""
    fields = _open(key, "ask", packet)
    return LivenessQuery(*(_text(fields, name) for name in _QUERY))


def decode_reply(key: bytes, packet: bytes) -> LivenessReply:
    """A reply from a datagram. Raises AskError."""
    fields = _open(key, "told", packet)
    if type(fields.get("left_ms")) is not int or not all(
        type(fields.get(name)) is bool for name in ("holds", "daemon")
    ):
        raise AskError("form")
    cluster, node, session_id, nonce = (_text(fields, name) for name in _QUERY)
    held = fields.get("held_sid")
    if not isinstance(held, str):
        raise AskError("form")
    return LivenessReply(cluster, node, session_id, nonce, held, fields["holds"], fields["daemon"], fields["left_ms"])


def answer(state: GuardState, query: LivenessQuery, now: Instant) -> LivenessReply:
    """The reply of a guard in this state to the query."""
    same = state.session_id == query.session_id and state.valid_until is not None
    left = max(0, round(remaining(state.valid_until, now))) if same and state.valid_until is not None else 0
    holds = same and state.phase in ("holding", "stopping")
    return LivenessReply(*query, state.session_id, holds, state.daemon_connected, left)


def _seal(key: bytes, kind: str, fields: dict[str, Any]) -> bytes:
    text = json.dumps({"version": VERSION, "kind": kind, **fields}, separators=(",", ":"), sort_keys=True).encode()
    if len(text) + _MAC_BYTES > MAX_DATAGRAM:
        raise AskError("size")
    return _mac(key, text) + text


def _open(key: bytes, kind: str, packet: bytes) -> dict[str, Any]:
    if not _MAC_BYTES < len(packet) <= MAX_DATAGRAM:
        raise AskError("size")
    # First of all: no content from a stranger is parsed.
    if not hmac.compare_digest(packet[:_MAC_BYTES], _mac(key, packet[_MAC_BYTES:])):
        raise AskError("mac")
    try:
        fields = json.loads(packet[_MAC_BYTES:])
    except (ValueError, RecursionError):
        raise AskError("form") from None
    if not isinstance(fields, dict) or fields.get("kind") != kind:
        raise AskError("form")
    if fields.get("version") != VERSION:
        raise AskError("version")
    return fields


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + text, "sha256")


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise AskError("form")
    return value
