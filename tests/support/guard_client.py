"""A guard's client whose calls block."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any, Self

from election.clock import Instant
from fencing.guard import wire
from fencing.guard.client import (
    Answer,
    GuardError,
    GuardSpec,
    GuardStatus,
    adopt_fields,
    connect,
    connect_or_spawn,
    deadline_fields,
    listen_fields,
    parse_answer,
    request_packet,
)  # fmt: skip
from fencing.guard.responder import Listen
from fencing.guard.state import StopStep


class GuardRefusedError(Exception):
    """The guard answered no. The text is its reason."""


class GuardClient:
    """A connection to a guard. Every call raises GuardError when the guard is gone or does not answer within
    `timeout_s` (close the connection then: the request may or may not have been done) and GuardRefusedError when the
    guard refuses."""

    def __init__(self, path: str, timeout_s: float = 1.0) -> None:
        self._timeout_s = timeout_s
        self._numbers = itertools.count(1)
        self._socket = connect(path, timeout_s)

    def fileno(self) -> int:
        """The socket: readable without a call under way means that the guard has died."""
        return self._socket.fileno()

    def close(self) -> None:
        """Leave the guard; it goes on guarding."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def adopt(self, cgroup: str | None = None) -> GuardStatus:
        """Be the daemon that the guard serves, in the cgroup v2 that it has to kill, and take from it what it holds.
        Refused while it serves another."""
        return _with_status(self._call("adopt", **adopt_fields(cgroup)))

    def begin(
        self, session_id: str, stop_budget_ms: float, self_fence_lead_ms: float, valid_until: Instant
    ) -> GuardStatus:
        """Have the guard hold a new session; refused while anything exclusive is registered."""
        return _with_status(
            self._call("begin", **deadline_fields(session_id, stop_budget_ms, self_fence_lead_ms, valid_until))
        )

    def extend(self, session_id: str, stop_budget_ms: float, self_fence_lead_ms: float, valid_until: Instant) -> None:
        """The session was renewed; refused once the deadline has come."""
        self._call("extend", **deadline_fields(session_id, stop_budget_ms, self_fence_lead_ms, valid_until))

    def register(self, name: str, steps: Sequence[StopStep]) -> None:
        """Name a resource that is about to be started, and the steps that stop it; it may be started once this
        returns."""
        self._call("register", name=name, steps=list(steps))

    def unregister(self, name: str) -> None:
        """It was seen stopped."""
        self._call("unregister", name=name)

    def listen(self, setup: Listen) -> None:
        """Have the guard answer its peers there (docs/protocol.md, *Asking the guard*); refused where it cannot."""
        self._call("listen", **listen_fields(setup))

    def fence(self, reason: str) -> None:
        """Have the guard take this node down by the way it was started with."""
        self._call("fence", reason=reason[: wire.MAX_NAME])

    def status(self) -> GuardStatus:
        """The guard's status; without adopting it."""
        return _with_status(self._call("status"))

    def _call(self, op: str, **fields: Any) -> Answer:
        number = next(self._numbers)
        try:
            packet = request_packet(number, op, **fields)
        except wire.WireError as error:
            raise GuardRefusedError(str(error)) from None
        until = time.monotonic() + self._timeout_s
        try:
            self._socket.settimeout(self._timeout_s)
            self._socket.send(packet)
            while True:
                self._socket.settimeout(max(0.001, until - time.monotonic()))
                received = self._socket.recv(wire.MAX_MESSAGE)
                if not received:
                    raise GuardError("the guard has died")
                answer = parse_answer(received)
                if answer.number == number:
                    break
        except TimeoutError:
            raise GuardError(f"the guard did not answer {op} within {self._timeout_s:g} s") from None
        except OSError as error:
            raise GuardError(f"the guard is gone: {error.strerror}") from None
        if not answer.ok:
            raise GuardRefusedError(answer.problem)
        return answer


def ensure(spec: GuardSpec, timeout_s: float = 1.0) -> GuardClient:
    """A connection to the guard of `spec`, which is started when there is none. Raises GuardError."""
    connect_or_spawn(spec, timeout_s).close()
    return GuardClient(spec.socket, timeout_s)


def _with_status(answer: Answer) -> GuardStatus:
    if answer.status is None:
        raise GuardError("the guard's answer lacks its state")
    return answer.status
