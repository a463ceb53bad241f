"""What each kind of check looks at. A check returns what it found; one that may hang does so on a thread of its own, or
in a process of its own, and has failed when its time is over."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from election.text import printable
from fencing.agents.process import StartError, run_bounded
from fencing.linux.aside import NoAnswerError, aside
from hactl.linux import netlink
from hactl.linux.adjtimex import clock_state
from hactl.linux.ping import ping
from hactl.model.health import KINDS, CheckSpec, Clock, Disk, Link, Load, Part, Ping, Pressure, Route

PRESSURE = Path("/proc/pressure")
_LONGEST = 200
_MAX_OUTPUT = 4096
# So many threads may hang for one check before it is not tried any more.
_HANGING = 2


class Found(NamedTuple):
    """`text`: value and limit, for people; `value`: as a number, where there is one."""

    ok: bool
    text: str
    value: float | None = None


class CannotTellError(Exception):
    """This machine cannot make the check at all: that says nothing of its health."""


async def look(spec: CheckSpec, cgroup: str | None) -> Found:
    """Make the check once, within its time. Raises CannotTellError."""
    kind = next(name for name in KINDS if getattr(spec, name))
    if kind == "command":
        found = await _command(spec, cgroup)
    else:
        found = await _LOOKS[kind](getattr(spec, kind), spec.timeout_ms / 1000)
    return found._replace(text=printable(found.text, _LONGEST))


async def _disk(disk: Disk, timeout_s: float) -> Found:
    try:
        return await aside(f"health of {disk.path}", _file_system, disk, timeout_s=timeout_s, most=_HANGING)
    except NoAnswerError:
        return Found(False, f"{disk.path}: does not answer within {timeout_s:g} s")
    except OSError as error:
        return Found(False, f"{disk.path}: {error.strerror or error}")


def _file_system(disk: Disk) -> Found:
    size = os.statvfs(disk.path)
    free = 100 * size.f_bavail / size.f_blocks if size.f_blocks else 100.0
    inodes = 100 * size.f_favail / size.f_files if size.f_files else 100.0
    text = f"{free:.1f} % free (limit {disk.free}), {inodes:.1f} % of inodes (limit {disk.inodes})"
    if disk.writable and size.f_flag & os.ST_RDONLY:
        return Found(False, f"{disk.path}: is mounted read-only; {text}", round(free, 1))
    if disk.write:
        _write(disk.path)
    enough = Part.of(disk.free).enough(size.f_bavail * size.f_frsize, size.f_blocks * size.f_frsize)
    enough &= not size.f_files or Part.of(disk.inodes).enough(size.f_favail, size.f_files)
    return Found(enough, f"{disk.path}: {text}", round(free, 1))


def _write(path: str) -> None:
    """Write a file there, and have it on the disk. Raises OSError."""
    with tempfile.NamedTemporaryFile(dir=path, prefix=".hactl-health-") as file:
        file.write(b"hactl looks whether this file system can be written\n" * 80)
        file.flush()
        os.fsync(file.fileno())


async def _link(link: Link, _timeout_s: float) -> Found:
    try:
        found = netlink.link(link.interface)
    except OSError as error:
        raise CannotTellError(f"netlink: {error.strerror or error}") from None
    words = "there is no such interface" if found is None else "up" if found.running else "no carrier, or down"
    return Found(found is not None and found.running, f"{link.interface}: {words}")


async def _ping(asked: Ping, timeout_s: float) -> Found:
    problems = await asyncio.gather(*(ping(target, timeout_s) for target in asked.targets))
    answered = sum(not problem for problem in problems)
    silent = ", ".join(f"{target}: {why}" for target, why in zip(asked.targets, problems, strict=True) if why)
    text = f"{answered} of {len(asked.targets)} answer (limit {asked.at_least})" + (f"; {silent}" if silent else "")
    return Found(answered >= asked.at_least, text, float(answered))


async def _route(route: Route, _timeout_s: float) -> Found:
    problems = [(to, problem) for to in route.to if (problem := _no_route(to))]
    if problems:
        return Found(False, "; ".join(f"to {to}: {problem}" for to, problem in problems))
    return Found(True, f"to {', '.join(route.to)}")


def _no_route(to: str) -> str:
    """Why the kernel has no way to an address; nothing is sent."""
    family = socket.AF_INET6 if ipaddress.ip_address(to).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((to, 9))
        except OSError as error:
            return error.strerror or str(error)
    return ""


async def _pressure(pressure: Pressure, _timeout_s: float) -> Found:
    texts, ok, most = [], True, 0.0
    for name, line in (("memory", "full"), ("io", "full"), ("cpu", "some")):
        limit = getattr(pressure, name)
        if limit is None:
            continue
        percent = _stalled(name, line)
        ok &= percent <= (Part.of(limit).percent or 0.0)
        most = max(most, percent)
        texts.append(f"{name} {percent:.1f} % (limit {limit})")
    return Found(ok, ", ".join(texts), most)


def _stalled(name: str, line: str) -> float:
    """Percent of the last minute. Source: the kernel's documentation of PSI."""
    try:
        text = (PRESSURE / name).read_text(encoding="ascii")
        words = next(words for words in map(str.split, text.splitlines()) if words[0] == line)
        return float(dict(word.split("=", 1) for word in words[1:])["avg60"])
    except (OSError, StopIteration, ValueError, KeyError) as error:
        raise CannotTellError(f"{PRESSURE / name}: {error or 'has no such line'}") from None


async def _load(load: Load, _timeout_s: float) -> Found:
    per_cpu = os.getloadavg()[0] / (os.cpu_count() or 1)
    return Found(
        per_cpu <= load.per_cpu, f"{per_cpu:.2f} for each processor (limit {load.per_cpu:g})", round(per_cpu, 2)
    )


async def _clock(clock: Clock, _timeout_s: float) -> Found:
    try:
        state = clock_state()
    except OSError as error:
        raise CannotTellError(f"adjtimex: {error.strerror}") from None
    text = f"wrong by {state.max_error_ms:.0f} ms at most (limit {clock.max_error_ms:.0f} ms)"
    if not state.synchronised:
        return Found(False, f"is not synchronised; {text}", state.max_error_ms)
    return Found(state.max_error_ms <= clock.max_error_ms, text, state.max_error_ms)


async def _command(spec: CheckSpec, cgroup: str | None) -> Found:
    timeout_s = spec.timeout_ms / 1000
    try:
        ended = await run_bounded(
            list(spec.command), stdin=b"", timeout_s=timeout_s, max_output=_MAX_OUTPUT, cgroup=cgroup, label="health"
        )
    except StartError as error:
        return Found(False, str(error))
    if ended.timed_out:
        return Found(False, f"did not end within {timeout_s:g} s and was killed")
    said = (ended.stdout.strip() or ended.stderr.strip()).rpartition("\n")[2]
    how = "exit status 0" if ended.returncode == 0 else f"exit status {ended.returncode}"
    return Found(ended.returncode == 0, f"{how}: {said}" if said else how, float(ended.returncode or 0))


_LOOKS: dict[str, Callable[[Any, float], Awaitable[Found]]] = {
    "disk": _disk,
    "link": _link,
    "ping": _ping,
    "route": _route,
    "pressure": _pressure,
    "load": _load,
    "clock": _clock,
}
