"""HAProxy's sockets: one question, one answer, and what the answers mean.

Source: HAProxy's management guide, *Unix Socket commands*, *Master CLI* and *CSV format*.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import re
from collections import Counter
from dataclasses import dataclass

from hactl.haproxy.settings import HaproxyError

_MAX_ANSWER = 64 * 1024 * 1024
_MASTER = re.compile(r"^(\d+)\s+master\s+(\d+)(?:\s+\[failed: (\d+)\])?", re.MULTILINE)
_WORKER = re.compile(r"^(\d+)\s+worker\s+(\d+)\s", re.MULTILINE)


class NoAnswerError(HaproxyError):
    """It is there, and does not answer in time."""


@dataclass(frozen=True, slots=True)
class Processes:
    """The master's report on its processes. `reloads`: how many there were, failed ones among them; `failed`: how many
    have failed since the last that did not. `workers`: those in service; `old`: those that end with their connections,
    of the latest reload first."""

    master: int
    reloads: int
    failed: int
    workers: tuple[int, ...]
    old: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ServerState:
    """The state of a server, as this HAProxy sees it. `status`: UP, DOWN, MAINT, DRAIN, NOLB, "no check", and while it
    is changing e.g. "UP 1/2". `check`: the result of the last check, such as L4CON, L7OK (manual: `check_status`),
    `detail` its words. `active`: used at all times, else a backup. `weight`: as it was set, whatever a slow start makes
    of it. `changed_s`: seconds since its last change."""

    proxy: str
    server: str
    address: str
    status: str
    active: bool
    weight: int
    sessions: int
    check: str
    detail: str
    changed_s: int

    @property
    def up(self) -> bool:
        """It gets connections, or would if it were no backup."""
        return self.status.startswith("UP") or self.status == "no check"


async def ask(socket: str, command: str, timeout_s: float) -> str:
    """Send one command to a socket of HAProxy and return its whole answer. Raises HaproxyError."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _ask(socket, command)
    except TimeoutError:
        raise NoAnswerError(f"HAProxy did not answer {command!r} on {socket} within {timeout_s} s") from None
    except OSError as error:
        raise HaproxyError(f"cannot ask HAProxy on {socket}: {error.strerror or error}") from None


async def _ask(socket: str, command: str) -> str:
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(command.encode() + b"\n")
        # The master keeps its connections open until it knows that no other command comes.
        writer.write_eof()
        answer = bytearray()
        while chunk := await reader.read(65536):
            answer += chunk
            if len(answer) > _MAX_ANSWER:
                raise HaproxyError(f"HAProxy's answer to {command!r} has no end")
        return answer.decode(errors="replace")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def old_sessions(master_socket: str, timeout_s: float) -> Counter[tuple[str, str]]:
    """The sessions, by proxy and server, of the workers that a reload has replaced and that end with them. Raises
    HaproxyError."""
    processes = parse_processes(await ask(master_socket, "show proc", timeout_s))
    counts: Counter[tuple[str, str]] = Counter()
    for pid in processes.old:
        with contextlib.suppress(HaproxyError):  # it has ended meanwhile
            for state in parse_server_states(await ask(master_socket, f"@!{pid} show stat -1 4 -1", timeout_s)):
                counts[state.proxy, state.server] += state.sessions
    return counts


def parse_processes(text: str) -> Processes:
    """The answer to the master's `show proc`. Raises HaproxyError."""
    master = _MASTER.search(text)
    if master is None:
        raise HaproxyError(f"HAProxy's master answered 'show proc' with {text[:200]!r}")
    current, _, others = text.partition("# old workers")
    old = others.partition("\n#")[0]
    return Processes(
        int(master[1]),
        int(master[2]),
        int(master[3] or 0),
        tuple(int(pid) for pid, _ in _WORKER.findall(current)),
        tuple(int(pid) for pid, _ in sorted(_WORKER.findall(old), key=lambda worker: int(worker[1]))),
    )


def parse_server_states(text: str) -> list[ServerState]:
    """The servers in the answer to `show stat`, in its order. Raises HaproxyError."""
    lines = text.lstrip("# ").split("\n")
    try:
        rows = [row for row in csv.DictReader(line for line in lines if line) if row["type"] == "2"]
        return [_server_state(row) for row in rows if row["svname"] not in ("FRONTEND", "BACKEND")]
    except (KeyError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise HaproxyError(f"HAProxy's answer to 'show stat' is not understood: {error!r}") from None


def _server_state(row: dict[str, str]) -> ServerState:
    return ServerState(
        proxy=row["pxname"],
        server=row["svname"],
        address=row["addr"],
        status=row["status"],
        active=row["act"] == "1",
        weight=int(row.get("uweight") or row["weight"] or 0),
        sessions=int(row["scur"] or 0),
        check=row["check_status"].removeprefix("* "),
        detail=row["last_chk"] or row["check_desc"],
        changed_s=int(row["lastchg"] or 0),
    )
