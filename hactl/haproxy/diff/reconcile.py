"""The differences between the servers of a running HAProxy and its file: those to repair, and the state to keep over a
reload. Pure.

The file decides on weight, address and whether a server is in use; HAProxy alone knows which server is well.

Source: HAProxy's management guide, `show servers state`; how it reads such a text at a start is in its manual at
`load-server-state-from-file`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hactl.haproxy.diff.parse import sections
from hactl.haproxy.diff.servers import Proxy, Server, proxies
from hactl.haproxy.diff.step import Command
from hactl.haproxy.settings import HaproxyError

# Bits of `srv_admin_state`: put out of use by command or by the file; drained by command.
_MAINT, _DRAIN = 0x01, 0x08
# Not in use for whatever reason: by command, because the one it tracks is not, because its name has no address.
_NO_ADDRESS = 0x20
_ANY_MAINT = 0x01 | 0x02 | _NO_ADDRESS
# Bits of `srv_check_state`.
_CHECKED, _CHECKS_ENABLED = 0x02, 0x04
# `srv_op_state`.
_STARTING, _RUNNING = 1, 2


@dataclass(frozen=True, slots=True)
class LiveServer:
    """A server as it is in a running HAProxy. `state`, `admin`, `check_state`: HAProxy's numbers. `changed_s`: seconds
    since it came to that state. `check`: status, result and health, as they are written."""

    proxy: str
    server: str
    host: str
    port: str
    state: int
    admin: int
    weight: int
    changed_s: int
    check: tuple[str, str, str]
    check_state: int


@dataclass(frozen=True, slots=True)
class Repair:
    """How to make a running HAProxy equal to its file. `notes`: the differences, in words. `reload`: differences that
    no command repairs. `unresolved`: names of servers that HAProxy found no address for, and does not go on asking
    for."""

    commands: tuple[Command, ...] = ()
    notes: tuple[str, ...] = ()
    reload: tuple[str, ...] = ()
    unresolved: tuple[str, ...] = ()


def parse_live(text: str) -> list[LiveServer]:
    """The answer to `show servers state`. Raises HaproxyError."""
    rows = text.split("\n")
    if not rows or rows[0].strip() != "1":
        raise HaproxyError(f"HAProxy's answer to 'show servers state' is not understood: {text[:200]!r}")
    try:
        return [_live(row.split()) for row in rows[1:] if row and not row.startswith("#")]
    except (IndexError, ValueError) as error:
        raise HaproxyError(f"HAProxy's answer to 'show servers state' is not understood: {error!r}") from None


def _live(row: Sequence[str]) -> LiveServer:
    return LiveServer(
        proxy=row[1],
        server=row[3],
        host=row[4],
        port=row[18],
        state=int(row[5]),
        admin=int(row[6]),
        weight=int(row[7]),
        changed_s=int(row[9]),
        check=(row[10], row[11], row[12]),
        check_state=int(row[13]),
    )


def differences(text: str, live: Iterable[LiveServer]) -> Repair:
    """The repair of a HAProxy that runs with the file `text`."""
    by_name = {(current.proxy, current.server): current for current in live}
    takes_out: list[Command] = []
    brings_in: list[Command] = []
    notes: list[str] = []
    reload: list[str] = []
    unresolved: list[str] = []
    for proxy in proxies(sections(text)).values():
        for server in proxy.servers:
            current = by_name.pop((proxy.name, server.name), None)
            if current is None:
                reload.append(f"{proxy.name}/{server.name} is missing")
                continue
            if current.admin & _NO_ADDRESS and not server.has("resolvers"):
                unresolved.append(server.host)
            for command, note in _differing(proxy, server, current):
                (takes_out if command.verb in ("maint", "shut") else brings_in).append(command)
                notes += [f"{proxy.name}/{server.name} {note}"] if note else []
        if not any(line.startswith("server-template") for line in proxy.frame):
            for current in [current for current in by_name.values() if current.proxy == proxy.name]:
                takes_out += _left_over(current)
                notes += [] if current.admin & _MAINT else [f"{current.proxy}/{current.server} is not in the file"]
    return Repair((*takes_out, *brings_in), tuple(notes), tuple(reload), tuple(unresolved))


def _differing(proxy: Proxy, server: Server, live: LiveServer) -> Iterable[tuple[Command, str]]:
    """Commands, each with the difference that it repairs; "" where it belongs to the one before it."""

    def command(verb: str, argument: str = "") -> Command:
        return Command(verb, proxy.name, server.name, argument)  # type: ignore[arg-type]

    if server.is_fixed and (not _is_same_ip(server.host, live.host) or server.port != live.port):
        was = f"was at {live.host}:{live.port}, not {server.host}:{server.port}"
        yield command("address", f"{server.host} port {server.port}"), was
    if not server.understood or server.has("agent-check"):
        # The agent decides on the weight and the use.
        return
    if server.weight is not None and server.weight != live.weight:
        yield command("weight", str(server.weight)), f"weighed {live.weight}, not {server.weight}"
    if server.disabled and not live.admin & _MAINT:
        yield command("maint"), "was in use"
        if server.shuts_sessions:
            yield command("shut"), ""
    elif not server.disabled and live.admin & (_MAINT | _DRAIN):
        yield command("ready"), "was out of use" if live.admin & _MAINT else "was drained"
    if live.check_state & _CHECKED and not live.check_state & _CHECKS_ENABLED:
        yield command("check"), "was not checked"


def _left_over(live: LiveServer) -> list[Command]:
    """One that the file does not have: it goes when its last session has."""
    out = [] if live.admin & _MAINT else [Command("maint", live.proxy, live.server)]
    return [*out, Command("delete", live.proxy, live.server)]


def _is_same_ip(address: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(address) == ipaddress.ip_address(other)
    except ValueError:
        return address == other


def carried_health(text: str, live: Iterable[LiveServer]) -> str:
    """The state of the servers for a HAProxy that will start with `text`: which are well, by the checks of the one that
    runs, and nothing else.

    HAProxy's own dump must not be given to it: a weight or a `ready` that was set by command would come back and undo
    the new file where that says the same as the file before the command. So all values here are the new file's, health
    apart, and only for servers that are in use, are checked, and have not moved.
    """
    by_name = {(current.proxy, current.server): current for current in live}
    lines = ["1"]
    for proxy in proxies(sections(text)).values():
        for server in proxy.servers:
            current = by_name.get((proxy.name, server.name))
            if current is not None and _is_worth_carrying(server, current):
                lines.append(_line(proxy.name, server, current))
    return "\n".join(lines) + "\n"


def _is_worth_carrying(server: Server, live: LiveServer) -> bool:
    in_use = server.understood and server.weight is not None and not server.disabled and server.is_fixed
    known = live.check_state & _CHECKED and live.check_state & _CHECKS_ENABLED and not live.admin & _ANY_MAINT
    same = _is_same_ip(server.host, live.host) and server.port == live.port
    return bool(in_use and known and same and server.has("check") and not server.has("agent-check"))


def _line(proxy: str, server: Server, live: LiveServer) -> str:
    """In HAProxy's format 1. A server that warms up is told as running: it would never end to."""
    state = _RUNNING if live.state == _STARTING else live.state
    fields = [
        *("1", proxy, "1", server.name, "-", state),
        # In use, of the file's weight.
        *(0, server.weight, server.weight, live.changed_s),
        *live.check,
        *(_CHECKED | _CHECKS_ENABLED, 0, 0, 0, "-", server.port, "-"),
    ]
    return " ".join(str(field) for field in fields)
