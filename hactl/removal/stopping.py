"""Ends hactl's processes on this machine, and takes back what it set in the kernel. Each part may be absent."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fencing.guard.client import GuardError, GuardStatus, connect, parse_answer, request_packet
from fencing.guard.wire import MAX_MESSAGE
from hactl.config.node import NodeConfig
from hactl.linux import drop_ins
from hactl.linux.cgroup import Cgroup, find_mount
from hactl.removal.verdict import RefusedError, groups_of, own_tables, sysctls_to_reset

UNITS = ("hactl.service", "hactl-http.service", "hactl-etcd-snapshot.timer", "hactl-etcd-snapshot.service")

# How long is waited: for a unit (above its TimeoutStopSec=), for the guard to stop what it holds (a lease is over by
# then), for the guard's end, for HAProxy and others that were asked to end, and for what was killed.
UNIT_S, GUARDED_S, GUARD_S, ASKED_S, KILLED_S = 150.0, 90.0, 10.0, 5.0, 10.0
_LOOK_S = 0.05
_COMMAND_S = 10.0
_SYSCTL_DIRS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d")


def guard_status(config: NodeConfig) -> GuardStatus | None:
    """What the guard holds; None: there is none. Raises RefusedError for one that does not answer."""
    try:
        link = connect(config.guard_socket)
    except GuardError:
        return None
    with link:
        try:
            link.send(request_packet(1, "status"))
            return parse_answer(link.recv(MAX_MESSAGE)).status
        except (OSError, GuardError) as error:
            raise RefusedError(f"the guard at {config.guard_socket} does not answer: {error}") from None


def until(condition: Callable[[], bool], limit_s: float) -> bool:
    """Wait for it; whether it came true in time."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_S)
    return True


def stop_units() -> None:
    """Have systemd stop the daemon and what is beside it. Raises RefusedError where it does not."""
    if not Path("/run/systemd/system").is_dir():
        return
    for unit in UNITS:
        argv = ["systemctl", "stop", unit]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=UNIT_S, check=False)
        except subprocess.TimeoutExpired:
            raise RefusedError(f"`systemctl stop {unit}` is not done after {UNIT_S:g} s") from None
        if done.returncode and "not loaded" not in done.stderr:
            raise RefusedError(f"`systemctl stop {unit}` failed: {done.stderr.strip()}")


def give_units_back() -> None:
    """Remove the drop-ins by which systemd left units to hactl: systemd and people start them again. Raises
    RefusedError."""
    try:
        if not drop_ins.remove_all():
            return
    except OSError as error:
        raise RefusedError(f"cannot remove hactl's drop-in {error.filename}: {error.strerror}") from None
    if Path("/run/systemd/system").is_dir():
        _output("systemctl", "daemon-reload")


def end_guard(config: NodeConfig) -> None:
    """Wait until the guard holds nothing, and end it. Raises RefusedError where something does not stop."""
    status = guard_status(config)

    def is_now(condition: Callable[[GuardStatus], bool]) -> bool:
        nonlocal status
        status = guard_status(config)
        return status is None or condition(status)

    if not until(lambda: is_now(lambda guard: guard.daemon_pid is None), KILLED_S):
        raise RefusedError(
            f"a daemon runs outside of hactl.service, as process {status and status.daemon_pid}: stop it"
        )
    if not until(lambda: is_now(lambda guard: not guard.exclusive), GUARDED_S):
        assert status is not None
        raise RefusedError(
            f"the guard could not stop {', '.join(groups_of(status.exclusive))}: stop it by hand, or reboot "
            f"({config.run_dir}/guard.log says why)"
        )
    if status is not None:
        _end(status.pid, GUARD_S)


def end_remaining(config: NodeConfig) -> None:
    """End all that is in hactl's control groups, HAProxy for one, and remove these. Raises RefusedError."""
    root = config.cgroup_root or f"{find_mount() or ''}/hactl"
    group = Cgroup(root)
    if guards := Cgroup(f"{root}/guard").pids():
        raise RefusedError(f"process {guards[0]} is a guard of other settings: name its node.toml with `--config`")
    for pid in group.pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    if not until(lambda: not group.populated(), ASKED_S):
        group.kill()
    if not until(lambda: not group.populated(), KILLED_S):
        raise RefusedError(f"processes in {root} do not end: {', '.join(map(str, group.pids()))}")
    group.remove()


def take_back_settings() -> None:
    """Remove hactl's tables of the packet filter; set what only hactl set in the kernel back to its default."""
    if shutil.which("nft"):
        for family, name in own_tables(_output("nft", "-j", "list", "tables")):
            _output("nft", "delete", "table", family, name)
    for setting in sysctls_to_reset(dict(_sysctl_files())):
        with contextlib.suppress(OSError):
            Path("/proc/sys", *setting.split(".")).write_text("0\n", encoding="ascii")


def remove_run_dir(config: NodeConfig) -> None:
    """Remove the sockets, logs and other files that need not survive a reboot."""
    mounted = Path(config.run_dir, "cgroup")  # where the machine has control groups v1 only
    if mounted.is_mount():
        _output("umount", str(mounted))
    if not mounted.is_mount():
        shutil.rmtree(config.run_dir, ignore_errors=True)


def _end(pid: int, limit_s: float) -> None:
    """SIGTERM to a process; wait for its end. Raises RefusedError."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not until(lambda: not Path(f"/proc/{pid}").exists(), limit_s):
        raise RefusedError(f"the guard, process {pid}, does not end")


def _sysctl_files() -> Iterator[tuple[str, str]]:
    paths = [Path("/etc/sysctl.conf"), *(path for name in _SYSCTL_DIRS for path in Path(name).glob("*.conf"))]
    for path in paths:
        with contextlib.suppress(OSError):
            yield str(path), path.read_text(encoding="utf-8", errors="replace")


def _output(*argv: str) -> str:
    """What a command says; "" where it fails: what it should remove may be gone."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(argv, capture_output=True, text=True, timeout=_COMMAND_S, check=False).stdout
    return ""
