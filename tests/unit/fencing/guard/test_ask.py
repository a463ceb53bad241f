"""Questions to a guard and its answers: what is not exactly one is none."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest

from election.clock import Instant
from fencing.guard.liveness import (
    MAX_DATAGRAM,
    AskError,
    LivenessQuery,
    LivenessReply,
    answer,
    decode_query,
    decode_reply,
    encode_query,
    encode_reply,
)
from fencing.guard.state import Adopt, Begin, DaemonGone, GuardState, Register, Tick, step

KEY, OTHER_KEY = b"k" * 32, b"K" * 32
QUESTION = LivenessQuery("demo", "n1", "s1", "00ff")
TOLD = LivenessReply("demo", "n1", "s1", "00ff", "s1", True, False, 250)


def at(ms: float) -> Instant:
    return Instant(ms, ms + 7)


def sealed(fields: Any, key: bytes = KEY, purpose: bytes = b"hactl ask-the-guard\0") -> bytes:
    """A datagram of this content, made without the code that is tested."""
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return hmac.digest(key, purpose + text, "sha256") + text


def asked(**changes: Any) -> dict[str, Any]:
    return {"version": 1, "kind": "ask", "cluster": "demo", "node": "n1", "sid": "s1", "nonce": "00ff", **changes}


def told(**changes: Any) -> dict[str, Any]:
    reply = {"held_sid": "s1", "holds": True, "daemon": False, "left_ms": 250}
    return {**asked(), "kind": "told", **reply, **changes}


def test_both_arrive_as_they_were_sent() -> None:
    assert decode_query(KEY, encode_query(KEY, QUESTION)) == QUESTION
    assert decode_reply(KEY, encode_reply(KEY, TOLD)) == TOLD
    assert decode_query(KEY, sealed(asked())) == QUESTION
    assert decode_reply(KEY, sealed(told(held_sid=""))) == TOLD._replace(held_session_id="")


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (b"", "size"),
        (b"x" * 32, "size"),
        (sealed(asked(node="n" * MAX_DATAGRAM)), "size"),
        (b"x" * 100, "mac"),
        (sealed(asked(), OTHER_KEY), "mac"),
        (sealed(asked(), purpose=b""), "mac"),
        (encode_query(KEY, QUESTION)[:-1], "mac"),
        (encode_query(KEY, QUESTION).replace(b"n1", b"n2"), "mac"),
        (sealed(b"{"), "form"),
        (sealed([1]), "form"),
        (encode_reply(KEY, TOLD), "form"),
        (sealed(asked(sid=5)), "form"),
        (sealed(asked(sid="")), "form"),
        (sealed({"version": 1, "kind": "ask"}), "form"),
        (sealed(asked(version=2)), "version"),
    ],
)
def test_what_is_no_question_is_dropped(packet: bytes, why: str) -> None:
    with pytest.raises(AskError) as caught:
        decode_query(KEY, packet)
    assert caught.value.why == why


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (sealed(told(), OTHER_KEY), "mac"),
        (encode_query(KEY, QUESTION), "form"),
        (sealed(told(holds=1)), "form"),
        (sealed(told(left_ms=2.5)), "form"),
        (sealed(told(left_ms=True)), "form"),
        (sealed(told(held_sid=None)), "form"),
        (sealed(told(nonce=None)), "form"),
    ],
)
def test_what_is_no_answer_is_dropped(packet: bytes, why: str) -> None:
    with pytest.raises(AskError) as caught:
        decode_reply(KEY, packet)
    assert caught.value.why == why


def test_a_name_too_long_is_not_sent() -> None:
    with pytest.raises(AskError):
        encode_query(KEY, QUESTION._replace(node="n" * MAX_DATAGRAM))


def test_a_guard_says_what_it_holds() -> None:
    state = GuardState()
    assert answer(state, QUESTION, at(0)) == LivenessReply(*QUESTION, "", False, False, 0)
    step(state, Adopt(7), at(0))
    step(state, Begin("s1", 200, 50, at(1000)), at(0))
    step(state, Register("vip", ({"kind": "unlink", "path": "/x"},)), at(0))
    assert answer(state, QUESTION, at(100)) == LivenessReply(*QUESTION, "s1", True, True, 900)
    other = QUESTION._replace(session_id="s0")
    assert answer(state, other, at(100)) == LivenessReply(*other, "s1", False, True, 0)
    step(state, DaemonGone(), at(100))
    assert answer(state, QUESTION, at(100))[5:7] == (True, False)
    step(state, Tick(), at(850))
    assert state.phase == "stopping"
    assert answer(state, QUESTION, at(850)).holds
    step(state, Tick(), at(960))
    assert state.phase == "fenced"
    assert not answer(state, QUESTION, at(960)).holds
