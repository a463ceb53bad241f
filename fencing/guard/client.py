"""The daemon's side of the guard: starts one that outlives the daemon, and exchanges messages with it.

When the guard dies the socket reads end-of-file at once: a daemon without a guard has to end (docs/protocol.md,
*Session* 5).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from election.clock import Instant
from fencing.guard import wire
from fencing.guard.log import RECORD_NAME
from fencing.guard.responder import Listen
from fencing.guard.state import Phase
from fencing.guard.watchdog_state import Use
from fencing.guard.wire import OTHER_GUARD, READY
from fencing.linux.umask import of_children

# How long a guard is waited for that lives, but whose socket is missing; and how often it is looked for.
PATIENCE_S, AGAIN_S = 5.0, 0.1

# Of the record of a deadline: its fields, and how long it may be.
RECORD_FIELDS = ("sid", "reason", "at", "at_boot_ms", "daemon_connected", "names", "outcome", "problems", "took_ms")
MAX_RECORD = 1 << 20

# Started without site-packages: the guard needs none of it and would only have more to load and to lock.
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from fencing.guard.program import main; sys.exit(main())"


class GuardError(Exception):
    """The guard cannot be had: it is gone, does not answer or did not start."""


class OtherGuardError(GuardError):
    """A guard did not start because there is one already, which cannot be reached."""


@dataclass(frozen=True, slots=True)
class GuardSpec:
    """How to start a guard. `cgroups`: where it moves (on a machine that mounts v1 and v2 one of each);
    `daemon_cgroup`: cgroup v2 of the daemon and its agents, told at the adoption; `self_fence`: ("reboot",),
    ("command", path, …) or ("log",); `log`: a file, None for the daemon's stderr; `watchdog`: as in node.toml."""

    socket: str
    state_dir: str
    cgroups: tuple[str, ...] = ()
    daemon_cgroup: str | None = None
    self_fence: tuple[str, ...] = ("reboot",)
    log: str | None = None
    watchdog: Use = "off"
    watchdog_device: str = "/dev/watchdog"

    def arguments(self) -> list[str]:
        """The command line of hactl-guard."""
        words = ["--socket", self.socket, "--state-dir", self.state_dir]
        for cgroup in self.cgroups:
            words += ["--cgroup", cgroup]
        if self.log:
            words += ["--log", self.log]
        words += ["--watchdog", self.watchdog, "--watchdog-device", self.watchdog_device]
        return [*words, "--self-fence", *self.self_fence]


@dataclass(frozen=True, slots=True)
class GuardStatus:
    """A guard's status. `stop` is the record of the deadline that it last let fall; `dropped` are the
    datagrams of others that it did not answer, by reason; `watchdog`: `device`, `use`, `identity` and what
    watchdog_state.document says, None: it has none."""

    session_id: str
    valid_until: Instant | None
    phase: Phase
    exclusive: tuple[str, ...]
    incarnation: int
    stop_budget_ms: float
    self_fence_lead_ms: float
    pid: int
    daemon_pid: int | None
    degraded: tuple[str, ...]
    stop: Mapping[str, Any] | None
    dropped: Mapping[str, int] = field(default_factory=dict)
    watchdog: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A guard's answer: `ok`, or the `problem`. `status` comes with adopt, begin and status."""

    number: int | None
    ok: bool
    problem: str
    status: GuardStatus | None


def request_packet(number: int, op: str, **fields: Any) -> bytes:
    """A request as a packet; its answer bears the same number."""
    return wire.encode({"id": number, "op": op, **fields})


def adopt_fields(cgroup: str | None) -> dict[str, Any]:
    """The fields of `adopt`."""
    return {"cgroup": cgroup} if cgroup is not None else {}


def deadline_fields(
    session_id: str, stop_budget_ms: float, self_fence_lead_ms: float, valid_until: Instant
) -> dict[str, Any]:
    """The fields of `begin` and `extend`."""
    return {
        "sid": session_id,
        "stop_budget_ms": stop_budget_ms,
        "self_fence_lead_ms": self_fence_lead_ms,
        "valid_until": list(valid_until),
    }


def listen_fields(setup: Listen) -> dict[str, Any]:
    """The fields of `listen`."""
    return setup._asdict() | {"key": setup.key.hex()}


def parse_answer(packet: bytes) -> Answer:
    """An answer from a packet. Raises GuardError for a packet that is none."""
    try:
        message = wire.decode(packet)
        state = message.get("state")
        status = _status(state) if state is not None else None
        number, ok, problem = message.get("id"), message["ok"], message["problem"]
        if not (isinstance(number, int | None) and isinstance(ok, bool) and isinstance(problem, str)):
            raise TypeError("a field is of another type")
        return Answer(number, ok, problem, status)
    except (wire.WireError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise GuardError(f"the guard's answer cannot be read: {error!r}") from None


def connect(path: str, timeout_s: float = 1.0) -> socket.socket:
    """A connected socket to the guard at `path`. Raises GuardError when none listens there."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    link.settimeout(timeout_s)
    try:
        link.connect(path)
    except OSError as error:
        link.close()
        raise GuardError(f"no guard at {path}: {error.strerror or error}") from None
    return link


def spawn(spec: GuardSpec, timeout_s: float = 10.0) -> None:
    """Start a guard that is nobody's child, in a session and cgroup of its own, and return when it listens.
    Raises GuardError with its words when it could not start."""
    ready, tell = os.pipe()
    try:
        root = str(Path(__file__).resolve().parents[2])
        argv = [sys.executable, "-I", "-S", "-c", _START, root, "--detach", "--ready-fd", str(tell)]
        with subprocess.Popen(
            [*argv, *spec.arguments()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # It outlives the readers of this process's output, so it writes to a log of its own.
            stderr=subprocess.DEVNULL if spec.log else None,
            pass_fds=(tell,),
            cwd="/",
            umask=of_children(),
            start_new_session=True,
        ) as child:
            os.close(tell)
            tell = -1
            reply = _read_line(ready, timeout_s)
            child.kill()  # it has gone on in its own child; this one only if it hangs
    finally:
        os.close(ready)
        if tell >= 0:
            os.close(tell)
    if reply == READY:
        return
    words = reply.decode(errors="replace").strip()
    kind = OtherGuardError if words.startswith(OTHER_GUARD) else GuardError
    raise kind(f"the guard did not start: {words or 'no word from it'}")


def connect_or_spawn(spec: GuardSpec, timeout_s: float = 1.0, patience_s: float = PATIENCE_S) -> socket.socket:
    """A connected socket to the guard of `spec`, which is started when there is none. One whose socket was removed
    makes it again: that is waited for. Raises GuardError."""
    until = time.monotonic() + patience_s
    while True:
        with contextlib.suppress(GuardError):
            return connect(spec.socket, timeout_s)
        try:
            spawn(spec)
        except OtherGuardError:
            if time.monotonic() > until:
                raise
            time.sleep(AGAIN_S)


def read_stop_record(state_dir: str) -> dict[str, Any] | None:
    """The record of the last deadline that a guard let fall, written by the guard's loop: `session_id`, `reason`, `at`
    (Unix time), `names`, `outcome` (stopping, stopped, self-fence), `problems`. For the next daemon to report;
    remove the file then (`forget_stop_record`)."""
    try:
        record = json.loads((Path(state_dir) / RECORD_NAME).read_bytes()[:MAX_RECORD])
    except (OSError, ValueError, RecursionError):
        return None
    return {name: record[name] for name in RECORD_FIELDS if name in record} if isinstance(record, dict) else None


def forget_stop_record(state_dir: str) -> None:
    """Remove the record: it has been reported."""
    with contextlib.suppress(OSError):  # on a disk that cannot be written it is reported again
        (Path(state_dir) / RECORD_NAME).unlink()


def _status(state: Mapping[str, Any]) -> GuardStatus:
    until = state["valid_until"]
    names = (state["sid"], state["phase"], *state["exclusive"], *state["degraded"])
    if not all(isinstance(name, str) for name in names) or not isinstance(state.get("dropped", {}), dict):
        raise TypeError("a field is of another type")
    valid_until = Instant(float(until[0]), float(until[1])) if until else None
    if valid_until is not None and not all(map(math.isfinite, valid_until)):
        raise ValueError("a deadline that never comes")
    return GuardStatus(
        session_id=state["sid"],
        valid_until=valid_until,
        phase=state["phase"],
        exclusive=tuple(state["exclusive"]),
        incarnation=int(state["incarnation"]),
        stop_budget_ms=float(state["stop_budget_ms"]),
        self_fence_lead_ms=float(state["self_fence_lead_ms"]),
        pid=int(state["pid"]),
        daemon_pid=state["daemon_pid"],
        degraded=tuple(state["degraded"]),
        stop=state["stop"],
        watchdog=state.get("watchdog"),
        dropped=state.get("dropped", {}),  # a guard of an earlier version has none
    )


def _read_line(fd: int, timeout_s: float) -> bytes:
    until = time.monotonic() + timeout_s
    reply = b""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while not reply.endswith(b"\n") and poll.poll(max(0.0, until - time.monotonic()) * 1000):
        part = os.read(fd, 4096)
        if not part:
            break
        reply += part
    return reply
