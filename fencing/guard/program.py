"""The guard: a second, small process that holds the deadline for the daemon (docs/protocol.md, *Session* 4, 5).

It needs the standard library only, keeps itself locked in memory and in a cgroup of its own, and outlives the
daemon. Its decisions are in fencing.guard.state, its stops in fencing.guard.stop, its messages in fencing.guard.wire.

    hactl-guard --socket /run/hactl/guard.sock --state-dir /var/lib/hactl --cgroup /sys/fs/cgroup/hactl-guard
"""

# pathlib, and its imports, would stay locked in memory for a few calls.
# ruff: noqa: PTH103

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence

from fencing.guard.jobs import STACK_BYTES, Post
from fencing.guard.listen import GuardSocket, OtherGuardError, find_other
from fencing.guard.log import Journal
from fencing.guard.loop import Guard
from fencing.guard.sys import lock_memory, may_reboot, raise_priority, refuse_oom, reserve_memory, write_file
from fencing.guard.watchdog import FedWatchdog, Log, OpenDevice, Watchdog
from fencing.guard.watchdog_device import Device
from fencing.guard.wire import OTHER_GUARD, READY
from fencing.linux import core_dump
from fencing.linux.umask import keep_private


class StartError(Exception):
    """The guard cannot start. The text says why, with a hint."""


def main(argv: Sequence[str] | None = None, open_device: OpenDevice = Device) -> int:
    """Run the guard; returns its exit status. 2: it could not start. `open_device`: opens the watchdog."""
    options = _arguments(argv)
    if options.detach and os.fork():
        os._exit(0)
    try:
        guard, journal, kept = _set_up(options, open_device)
    except (StartError, OtherGuardError, OSError) as error:
        _tell(options.ready_fd, f"{error}\n".encode())
        with contextlib.suppress(OSError):
            sys.stderr.write(f"hactl-guard: {error}\n")
        return 2
    _tell(options.ready_fd, READY)
    guard.run()
    del kept
    journal.flush(1.0)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hactl-guard", description="Holds the deadline of a hactl daemon.")
    parser.add_argument("--socket", required=True, help="where the daemon connects (unix, SOCK_SEQPACKET)")
    parser.add_argument("--state-dir", help="where the record of a latched stop is kept")
    parser.add_argument("--log", help="a file for the log; without it: stderr")
    parser.add_argument(
        "--cgroup", action="append", default=[], help="move into this cgroup, made if absent (may be repeated)"
    )
    parser.add_argument("--watchdog", choices=("off", "use", "required"), default="off")
    parser.add_argument("--watchdog-device", default="/dev/watchdog", help="default: %(default)s")
    parser.add_argument(
        "--self-fence",
        nargs=argparse.REMAINDER,
        default=["reboot"],
        help="reboot (default), or: watchdog, or: command PATH [ARGUMENT ...], or: log; comes last",
    )
    parser.add_argument("--detach", action="store_true", help="go on in a process that is nobody's child")
    parser.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    words: list[str] = options.self_fence
    known = words and words[0] in ("reboot", "watchdog", "command", "log")
    if not known or (words[0] == "command") != (len(words) > 1):
        parser.error("--self-fence takes reboot, or watchdog, or command PATH [ARGUMENT ...], or log")
    return options


def _set_up(options: argparse.Namespace, open_device: OpenDevice) -> tuple[Guard, Journal, list[object]]:
    """Everything up to the main loop; the objects in the list must be kept. Raises StartError, OSError."""
    core_dump.forbid()
    keep_private()
    if os.getsid(0) != os.getpid() and os.getpgrp() != os.getpid():
        os.setsid()
    for cgroup in options.cgroup:
        _join(cgroup)
    entrance = _enter(options)
    had = [refuse_oom(), raise_priority(), lock_memory()]
    if options.self_fence[0] in ("reboot", "watchdog"):
        had.append(may_reboot())
    degraded = [problem for problem in had if problem]
    threading.stack_size(STACK_BYTES)
    reserve = reserve_memory()
    gc.freeze()
    journal = Journal(options.log or sys.stderr.fileno(), options.state_dir)

    def watchdog(post: Post, log: Log) -> Watchdog:
        if options.watchdog == "off":
            return Watchdog()
        return FedWatchdog(options.watchdog, options.watchdog_device, post, log, open_device)

    guard = Guard(entrance, journal, self_fence=options.self_fence, degraded=degraded, watchdog=watchdog)
    journal.event("guard_start", pid=os.getpid(), socket=options.socket, degraded=degraded)
    return guard, journal, [reserve]


def _join(cgroup: str) -> None:
    os.makedirs(cgroup, exist_ok=True)
    try:
        write_file(f"{cgroup}/cgroup.procs", b"0")
    except OSError as error:
        raise StartError(f"cannot move into the cgroup {cgroup}: {error.strerror}") from None


def _enter(options: argparse.Namespace) -> GuardSocket:
    """Be the only guard of this node. Raises OtherGuardError, OSError."""
    entrance = GuardSocket(options.socket)
    other = find_other(options.socket, options.state_dir, options.cgroup)
    if other is None:
        return entrance
    entrance.remove()  # it will make its own again
    pid, at = other
    if at == options.socket:
        raise OtherGuardError(f"{OTHER_GUARD}: process {pid}, whose socket {at} is missing")
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGTERM)  # it takes no notice while it holds anything
    raise OtherGuardError(f"{OTHER_GUARD}: process {pid}, at {at}: it ends as soon as it holds nothing any more")


def _tell(ready_fd: int | None, text: bytes) -> None:
    if ready_fd is not None:
        with contextlib.suppress(OSError):
            os.write(ready_fd, text)
        os.close(ready_fd)


if __name__ == "__main__":
    sys.exit(main())
