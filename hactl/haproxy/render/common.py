"""The lines that sets of defaults and services share. Pure.

Only settings that are given are written. A section that accepts has the lines of the front, one with servers those of
the back; `listen` and `defaults` have both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from hactl.haproxy.words import duration, quoted
from hactl.model.service import Common, Mode
from hactl.model.service_parts import CheckOptions, ListedServer, ServerOptions, ServerTls, Timeouts

Side = Literal["front", "back", "both"]

# HAProxy's words for the timeouts, in the order of `Timeouts`, and the side that each is of. Those of requests HAProxy
# takes on either side; they are about the client's.
TIMEOUTS: dict[str, Literal["front", "back", "request"]] = {
    "connect": "back",
    "client": "front",
    "server": "back",
    "queue": "back",
    "http-request": "request",
    "http-keep-alive": "request",
    "tunnel": "back",
    "client-fin": "front",
    "server-fin": "back",
    "tarpit": "request",
}
KEEP_ALIVE = {"close": "http-server-close", "keep": "http-keep-alive", "none": "httpclose"}
_SERVER_LINE = re.compile(r"(default-server|server|server-template)\s")
# Without `verify` a server for which there are authorities is verified.
_VERIFIES = re.compile(r"(^|\s)(verify|ca-file)\s")
# HAProxy takes 64 words on a line.
_MOST_WORDS = 60
# A peer that lost power under a silent connection is noticed in about ten seconds.
_KEEP_ALIVE_TIMES = (("idle", "5s"), ("intvl", "2s"), ("cnt", "3"))


@dataclass(frozen=True, slots=True)
class Sided:
    """A section. `side`: whether the proxy accepts, has servers, or both."""

    side: Side

    @property
    def front(self) -> bool:
        """It accepts."""
        return self.side != "back"

    @property
    def back(self) -> bool:
        """It has servers."""
        return self.side != "front"


@dataclass(frozen=True, slots=True)
class Place(Sided):
    """A section for lines. `mode`: in force there; `split`: the other side has a section of its own."""

    mode: Mode
    split: bool = False


def common_lines(own: Common, place: Place) -> list[str]:
    """All but `mode`, checks, servers and `extra`."""
    return [*_logging(own, place), *_front(own, place), *_back(own, place), *_timeouts(own.timeouts, place)]


def switch(name: str, on: bool | None) -> list[str]:
    """The line of an option that is on, off or not said."""
    return [] if on is None else [f"option {name}" if on else f"no option {name}"]


def tcp_keepalive(on: bool, place: Sided) -> Iterator[str]:
    """The lines by which the kernel looks, or does not, after silent connections on the sides that there are."""
    for name in (name for name, there in (("srvtcpka", place.back), ("clitcpka", place.front)) if there):
        yield from switch(name, on)
        if on:
            yield from (f"{name}-{time} {value}" for time, value in _KEEP_ALIVE_TIMES)


def _logging(own: Common, place: Place) -> Iterator[str]:
    if own.log is not None:
        yield from (f"log {target}" for target in own.log) if own.log else ("no log",)
    if not place.front:
        return
    yield from switch("dontlognull", own.dontlognull)
    if own.detailed_log is not None:
        yield from switch(f"{place.mode}log", own.detailed_log or None)
    if own.log_format is not None:
        yield f"log-format {own.log_format}"


def _front(own: Common, place: Place) -> Iterator[str]:
    if own.maxconn is not None and place.front:
        yield f"maxconn {own.maxconn}"
    if own.keep_alive is not None:
        yield f"option {KEEP_ALIVE[own.keep_alive]}"
    if place.front:
        yield from switch("idle-close-on-response", own.idle_close_on_response)
    if own.forwardfor and (place.front or not place.split):
        yield "option forwardfor"
    if own.tcp_keepalive is not None:
        yield from tcp_keepalive(own.tcp_keepalive, place)


def _back(own: Common, place: Place) -> Iterator[str]:
    if not place.back:
        return
    if own.retries is not None:
        yield f"retries {own.retries}"
    if own.redispatch is not None:
        yield "option redispatch 1" if own.redispatch else "no option redispatch"
    yield from switch("allbackups", own.all_backups)
    if own.balance is not None:
        yield f"balance {balance(own)}"
    if own.hash_type is not None:
        yield f"hash-type {own.hash_type}"


def balance(own: Common) -> str:
    """The arguments of `balance`."""
    match own.balance:
        case "hdr":
            return f"hdr({own.balance_by})"
        case "random" if own.balance_by:
            return f"random({own.balance_by})"
        case "uri" | "url_param":
            return f"{own.balance} {own.balance_by}".rstrip()
        case other:
            return str(other)


def _timeouts(timeouts: Timeouts, place: Place) -> Iterator[str]:
    there = {"front": place.front, "back": place.back, "request": place.front or not place.split}
    for name, side in TIMEOUTS.items():
        value = getattr(timeouts, f"{name.replace('-', '_')}_ms")
        if value is not None and there[side]:
            yield f"timeout {name} {duration(value)}"


def check_words(check: CheckOptions, *, verified: bool) -> Iterator[str]:
    """The words of a check for `default-server`, but for `check` itself. `verified`: the line already says, for the
    traffic, whether the servers are verified (`says_verify`)."""
    times = (("inter", check.inter_ms), ("fastinter", check.fastinter_ms), ("downinter", check.downinter_ms))
    yield from (f"{name} {duration(value)}" for name, value in times if value is not None)
    yield from (f"{name} {value}" for name, value in (("rise", check.rise), ("fall", check.fall)) if value is not None)
    if check.port is not None:
        yield f"port {check.port}"
    if check.address:
        yield f"addr {check.address}"
    if check.tls is not None:
        yield "check-ssl" if check.tls else "no-check-ssl"
    if check.tls and not verified:
        # By TLS only to see that it answers: it is the clients that verify it.
        yield "verify none"
    if check.sni:
        yield f"check-sni {quoted(check.sni)}"
    if check.send_proxy is not None:
        yield "check-send-proxy" if check.send_proxy else "no-check-send-proxy"
    if check.agent is not None:
        yield f"agent-check agent-port {check.agent.port}"
        if check.agent.inter_ms is not None:
            yield f"agent-inter {duration(check.agent.inter_ms)}"
        if check.agent.send:
            # A line's end is written as HAProxy writes it.
            yield f"agent-send {quoted(check.agent.send)}".replace(r"\\n", r"\n")


def says_verify(*all_options: Common, servers: Iterable[ListedServer] = ()) -> bool:
    """Whether these say with the servers' traffic whether they are verified, as a setting or in words: so a check does
    it, too."""
    words = [own.server.words for own in all_options] + [server.words for server in servers]
    words += [line for own in all_options for line in own.extra if _SERVER_LINE.match(line)]
    return any(own.server.tls is not None for own in all_options) or any(_VERIFIES.search(text) for text in words)


def default_server(parts: Iterable[str]) -> Iterator[str]:
    """The line that says `parts`, each a setting or several; more than one where HAProxy would not read so many
    words."""
    line: list[str] = []
    for part in parts:
        if line and len(" ".join((*line, part)).split()) > _MOST_WORDS:
            yield f"default-server {' '.join(line)}"
            line = []
        line.append(part)
    if line:
        yield f"default-server {' '.join(line)}"


def server_words(server: ServerOptions, inherited: ServerOptions | None = None) -> Iterator[str]:
    """The words of the servers' settings for `default-server`. `inherited`: those of the set of defaults."""
    if server.tls is not None:
        yield from _tls_words(server.tls)
    if server.send_proxy in ("", "v1") and inherited is not None and inherited.send_proxy == "v2":
        # For HAProxy both kinds of the protocol are on, or off, each by itself, and v2 wins.
        yield "no-send-proxy-v2"
    if server.send_proxy is not None:
        yield {"": "no-send-proxy", "v1": "send-proxy", "v2": "send-proxy-v2"}[server.send_proxy]
    numbers = (("maxconn", server.maxconn), ("maxqueue", server.maxqueue), ("weight", server.weight))
    yield from (f"{name} {value}" for name, value in numbers if value is not None)
    if server.slowstart_ms is not None:
        yield f"slowstart {duration(server.slowstart_ms)}"
    if server.shutdown_sessions:
        yield "on-marked-down shutdown-sessions"
    if server.dead_peer_ms is not None:
        yield f"tcp-ut {duration(server.dead_peer_ms)}"
    if server.words:
        yield server.words


def _tls_words(tls: ServerTls) -> Iterator[str]:
    yield f"ssl verify {tls.verify}"
    named = (("ca-file", tls.ca_file), ("verifyhost", tls.verify_host), ("crt", tls.certificate), ("alpn", tls.alpn))
    yield from (f"{name} {quoted(value)}" for name, value in named if value)
    if tls.sni:
        yield f"sni {tls.sni}"
