"""The messages between a daemon and its guard: JSON, one a packet of a SOCK_SEQPACKET socket.

A request is `{"id": 1, "op": "extend", ...}`, its answer `{"id": 1, "ok": true, "problem": ""}`, with `state`
for adopt, begin and status. `adopt` may carry `cgroup`, the daemon's cgroup v2 (version 2; version 1 does not look
at it: it was told when it was started). Instants are `[boot, raw]` in ms. A message is checked to the last
field: a `valid_until` of NaN, say, would be a deadline that never comes.
"""

from __future__ import annotations

import json
import math
from typing import Any

from election.clock import Instant, remaining
from fencing.guard.liveness import MIN_KEY
from fencing.guard.responder import Listen
from fencing.guard.state import Adopt, Begin, Extend, Fence, GuardState, Register, StopStep, Unregister

# The words of a guard that did not start because there is one; and of one that did, by a pipe, to its starter.
OTHER_GUARD = "another guard is running"
READY = b"ready\n"

VERSION = 2
MAX_MESSAGE = 128 * 1024
MAX_STEPS = 64
MAX_NAME = 255

# The requests that only the daemon the guard serves may make.
DAEMON_ONLY = frozenset({"begin", "extend", "register", "unregister", "listen", "fence"})

Request = Adopt | Begin | Extend | Register | Unregister | Listen | Fence | None


class WireError(Exception):
    """A message that is not one. The text is the problem."""


def encode(message: dict[str, Any]) -> bytes:
    """A message as one packet."""
    packet = json.dumps(message, separators=(",", ":"), allow_nan=False).encode()
    if len(packet) > MAX_MESSAGE:
        raise WireError(f"a message of {len(packet)} bytes is longer than {MAX_MESSAGE}")
    return packet


def decode(packet: bytes) -> dict[str, Any]:
    """A packet as a message. Raises WireError."""
    try:
        message = json.loads(packet)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise WireError("not a JSON object")
    return message


def request(message: dict[str, Any], peer_pid: int) -> Request:
    """The event that a request stands for; None for `status`. Raises WireError."""
    match message.get("op"):
        case "status":
            return None
        case "adopt":
            return Adopt(peer_pid)
        case "begin" | "extend" as op:
            return (Begin if op == "begin" else Extend)(
                _text(message, "sid"),
                _number(message.get("stop_budget_ms"), "stop_budget_ms"),
                _number(message.get("self_fence_lead_ms"), "self_fence_lead_ms"),
                _instant(message, "valid_until"),
            )
        case "register":
            return Register(_text(message, "name"), _steps(message))
        case "unregister":
            return Unregister(_text(message, "name"))
        case "listen":
            return _listen(message)
        case "fence":
            return Fence(_text(message, "reason"))
        case other:
            raise WireError(f"unknown request {other!r}")


def daemon_cgroup(message: dict[str, Any]) -> str | None:
    """The cgroup v2 that the adopting daemon is in with its agents, if it says so. Raises WireError."""
    return None if message.get("cgroup") is None else _text(message, "cgroup")


def state_document(state: GuardState, at: Instant) -> dict[str, Any]:
    """The guard's state, for answers."""
    until = state.valid_until
    return {
        "version": VERSION,
        "sid": state.session_id,
        "valid_until": list(until) if until else None,
        "remaining_ms": remaining(until, at) if until else None,
        "stop_budget_ms": state.stop_budget_ms,
        "self_fence_lead_ms": state.self_fence_lead_ms,
        "phase": state.phase,
        "exclusive": list(state.exclusive),
        "incarnation": state.incarnation,
        "daemon_connected": state.daemon_connected,
    }


def _listen(message: dict[str, Any]) -> Listen:
    port, key = message.get("port"), message.get("key")
    if type(port) is not int or not 0 < port < 65536:
        raise WireError(f"port: a number from 1 to 65535 is wanted, not {port!r}")
    try:
        secret = bytes.fromhex(key) if isinstance(key, str) else b"?"
    except ValueError:
        secret = b"?"
    if secret and len(secret) < MIN_KEY:  # not shown: it may be one with a slip in it
        raise WireError(f"key: hexadecimal of {MIN_KEY} bytes or more is wanted, or nothing")
    return Listen(_text(message, "cluster"), _text(message, "node"), _text(message, "address"), port, secret)


def _text(message: dict[str, Any], key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME:
        raise WireError(f"{key}: a text of 1 to {MAX_NAME} characters is wanted, not {value!r}")
    return value


def _number(value: object, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise WireError(f"{key}: a finite number is wanted, not {value!r}")
    return float(value)


def _instant(message: dict[str, Any], key: str) -> Instant:
    value = message.get(key)
    if not isinstance(value, list) or len(value) != 2:
        raise WireError(f"{key}: [boot, raw] in ms is wanted, not {value!r}")
    return Instant(_number(value[0], key), _number(value[1], key))


def _steps(message: dict[str, Any]) -> tuple[StopStep, ...]:
    value = message.get("steps")
    if not isinstance(value, list) or not 0 < len(value) <= MAX_STEPS:
        # Without a step nothing would be stopped, and that would count as stopped.
        raise WireError(f"steps: a list of 1 to {MAX_STEPS} is wanted")
    if not all(isinstance(step, dict) for step in value):
        raise WireError("steps: every step is an object with a kind")
    return tuple(value)
