"""Carries commands out on HAProxy's sockets, many on one connection, and judges every answer.

The connection is an interactive one: HAProxy says `> ` when it has done a command and `+ ` when it waits for more of
it, so each answer is known to belong to its command. All are sent at once and HAProxy works them off in
their order; nothing else is done between two of them on this connection.

Source: HAProxy's management guide, *Unix Socket commands*.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass

from hactl.haproxy.diff.step import Command, Verb
from hactl.haproxy.settings import HaproxyError

_PROMPT = b"\n> "
_MAX_ANSWER = 64 * 1024 * 1024
_LOOK_AGAIN_S = 0.005
_PID = re.compile(r"^Pid: (\d+)", re.MULTILINE)

# HAProxy's answers to commands that it has done. Empty for verbs that are not here.
_DONE: dict[Verb, re.Pattern[str]] = {
    # From 3.0 on it names only the changes.
    "address": re.compile(r"^(IP changed|port changed|no need to change|nothing changed)(?!.*(can't|problem))"),
    "add": re.compile(r"New server registered"),
    # Done before, by a daemon that did not live to note it.
    "delete": re.compile(r"Server deleted|No such server"),
}
_STILL_BUSY = re.compile(r"still has connections")


class CommandError(HaproxyError):
    """HAProxy did not do a command. The message has its words."""


@dataclass(frozen=True, slots=True)
class Done:
    """The result of the commands. `busy`: servers, as PROXY/SERVER, that are out of use but have sessions, and so could
    not be removed yet."""

    busy: tuple[str, ...] = ()


async def carry_out(socket: str, commands: Sequence[Command], workers: Collection[int], timeout_s: float) -> Done:
    """Have HAProxy do all commands. Raises CommandError if it refuses one; those after it are done all the same, where
    HAProxy can. Raises HaproxyError when it does not answer. `workers`: as in `ask_all`."""
    answers = await ask_all(socket, [command.text for command in commands], workers, timeout_s)
    busy, refused = [], []
    for command, answer in zip(commands, answers, strict=True):
        if command.verb == "delete" and _STILL_BUSY.search(answer):
            busy.append(f"{command.proxy}/{command.server}")
        elif not _is_done(command.verb, answer):
            refused.append(f"HAProxy answers {answer!r} to `{command.text}`")
    if refused:
        raise CommandError("; ".join(refused[:3]))
    return Done(tuple(busy))


async def ask_all(socket: str, commands: Sequence[str], workers: Collection[int], timeout_s: float) -> list[str]:
    """Send commands on one connection and return their answers. `workers`: the processes that may be asked, any if it
    is empty: for some milliseconds after a reload the old worker answers on the same socket. Raises HaproxyError."""
    if not commands:
        return []
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                async with _connected(socket) as (reader, writer):
                    if not workers or await _worker(reader, writer) in workers:
                        return await _converse(reader, writer, commands)
                await asyncio.sleep(_LOOK_AGAIN_S)
    except TimeoutError:
        raise HaproxyError(f"HAProxy did not answer on {socket} within {timeout_s} s") from None
    except asyncio.IncompleteReadError as error:
        received = error.partial.decode(errors="replace").strip()
        raise HaproxyError(f"HAProxy ended the connection on {socket}: {received[-200:]!r}") from None
    except (OSError, asyncio.LimitOverrunError) as error:
        raise HaproxyError(f"cannot ask HAProxy on {socket}: {error}") from None


@contextlib.asynccontextmanager
async def _connected(socket: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(socket, limit=_MAX_ANSWER)
    try:
        writer.write(b"prompt\n")
        await reader.readuntil(b"> ")
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _worker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """The process at the other end."""
    (info,) = await _converse(reader, writer, ["show info"])
    match = _PID.search(info)
    return int(match[1]) if match else 0


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, commands: Sequence[str]) -> list[str]:
    sending = asyncio.create_task(_send(writer, commands))
    try:
        answers = []
        for _ in commands:
            answer = await reader.readuntil(_PROMPT)
            answers.append(answer.removesuffix(_PROMPT).decode(errors="replace").strip("\n "))
        return answers
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send(writer: asyncio.StreamWriter, commands: Sequence[str]) -> None:
    for command in commands:
        writer.write(command.encode() + b"\n")
        await writer.drain()


def _is_done(verb: Verb, answer: str) -> bool:
    wanted = _DONE.get(verb)
    return not answer if wanted is None else wanted.search(answer) is not None
