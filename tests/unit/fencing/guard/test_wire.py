"""The guard's messages: nothing half right gets in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from election.clock import Instant
from fencing.guard.client import GuardError, adopt_fields, deadline_fields, parse_answer, request_packet
from fencing.guard.state import Adopt, Begin, Extend, GuardState, Register, Unregister
from fencing.guard.wire import WireError, daemon_cgroup, decode, encode, request, state_document

UNLINK = {"kind": "unlink", "path": "/x"}


def asked(op: str, **fields: Any) -> Any:
    return request(decode(request_packet(1, op, **fields)), 7)


def test_every_request_arrives_as_its_event() -> None:
    assert asked("status") is None
    assert asked("adopt") == asked("adopt", **adopt_fields("/sys/fs/cgroup/x")) == Adopt(7)
    assert asked("begin", sid="s", stop_budget_ms=9, self_fence_lead_ms=3, valid_until=Instant(1, 2.5)) == Begin(
        "s", 9.0, 3.0, Instant(1.0, 2.5)
    )
    assert asked("extend", **deadline_fields("s", 3, 2, Instant(1, 2))) == Extend("s", 3.0, 2.0, Instant(1.0, 2.0))
    assert asked("register", name="vip", steps=[UNLINK]) == Register("vip", (UNLINK,))
    assert asked("unregister", name="vip") == Unregister("vip")


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"op": "reboot"},
        {"op": ["adopt"]},
        {"op": "extend", "sid": "s"},
        {"op": "extend", "sid": "s", "valid_until": 5},
        {"op": "extend", "sid": "s", "valid_until": [5]},
        {"op": "extend", "sid": "s", "valid_until": [5, "6"]},
        {"op": "extend", "sid": "s", "valid_until": [5, True]},
        {"op": "extend", "sid": "s", "valid_until": [5, float("nan")]},
        {"op": "extend", "sid": "s", "valid_until": [float("inf"), 5]},
        {"op": "extend", "sid": "", "valid_until": [5, 6]},
        {"op": "begin", "sid": "s", "valid_until": [5, 6], "stop_budget_ms": 3},
        {"op": "register", "name": "vip"},
        {"op": "register", "name": "vip", "steps": []},
        {"op": "register", "name": "vip", "steps": [UNLINK] * 65},
        {"op": "register", "name": "vip", "steps": ["unlink"]},
        {"op": "register", "name": "v" * 256, "steps": [UNLINK]},
        {"op": "unregister", "name": 3},
    ],
)
def test_what_is_not_quite_a_request_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        request(decode(json.dumps(message).encode()), 7)


def test_an_adopting_daemon_may_say_where_it_is() -> None:
    assert [daemon_cgroup(adopt_fields(path)) for path in (None, "/x")] == [None, "/x"]
    for path in ("", 5, "x" * 256):
        with pytest.raises(WireError, match="cgroup"):
            daemon_cgroup({"cgroup": path})


@pytest.mark.parametrize("packet", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"{} {}"])
def test_what_is_not_a_message_is_refused(packet: bytes) -> None:
    with pytest.raises(WireError):
        decode(packet)


def test_too_long_a_message_is_refused_before_it_is_sent() -> None:
    with pytest.raises(WireError):
        encode({"id": 1, "name": "x" * 200_000})


def test_an_answer_gives_back_the_state() -> None:
    state = GuardState(session_id="s", valid_until=Instant(11.25, 7.5), incarnation=3, exclusive={"vip": (UNLINK,)})
    document = state_document(state, Instant(1, 1)) | {
        "pid": 5,
        "daemon_pid": None,
        "degraded": ["x"],
        "stop": None,
    }
    answer = parse_answer(encode({"id": 4, "ok": True, "problem": "", "state": document}))
    assert (answer.number, answer.ok) == (4, True)
    assert answer.status is not None
    assert answer.status.valid_until == Instant(11.25, 7.5)
    assert (answer.status.session_id, answer.status.incarnation, answer.status.exclusive) == ("s", 3, ("vip",))


@pytest.mark.parametrize("packet", [b"x", b"{}", b'{"ok":true,"problem":"","state":{}}'])
def test_an_answer_that_cannot_be_read_is_an_error_of_the_guard(packet: bytes) -> None:
    with pytest.raises(GuardError):
        parse_answer(packet)
