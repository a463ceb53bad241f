"""The settings of each server in a configuration, with those of `default-server`. Pure.

Source: HAProxy's configuration manual, *Server and default-server options*; which of them a server may have that is
added at run time: HAProxy's management guide 2.6, `add server`.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hactl.haproxy.diff.parse import Section
from hactl.haproxy.words import line_words

WITH_SERVERS = ("listen", "backend")

# The options by how many words follow them. One that is not here is not understood, and neither is its line:
# `source` and `usesrc` among them, which differ.
_DYNAMIC_0 = (
    "allow-0rtt backup check check-send-proxy check-ssl check-via-socks4 disabled enabled force-sslv3 force-tlsv10 "
    "force-tlsv11 force-tlsv12 force-tlsv13 no-backup no-send-proxy no-send-proxy-v2 no-ssl-reuse no-sslv3 no-tfo "
    "no-tls-tickets no-tlsv10 no-tlsv11 no-tlsv12 no-tlsv13 send-proxy send-proxy-v2 send-proxy-v2-ssl "
    "send-proxy-v2-ssl-cn ssl tfo tls-tickets"
)
_DYNAMIC_1 = (
    "addr alpn check-alpn check-proto check-sni ciphers ciphersuites downinter error-limit fall fastinter inter "
    "maxconn maxqueue minconn npn observe on-error on-marked-down on-marked-up pool-low-conn pool-max-conn "
    "pool-purge-delay port proto proxy-v2-options rise slowstart sni ssl-max-ver ssl-min-ver verify verifyhost "
    "weight ws"
)
_OTHER_0 = (
    "agent-check no-agent-check no-check no-check-send-proxy no-check-ssl no-send-proxy-v2-ssl no-send-proxy-v2-ssl-cn "
    "no-ssl no-verifyhost non-stick ssl-reuse stick"
)
_OTHER_1 = (
    "agent-addr agent-inter agent-port agent-send ca-file cookie crl-file crt curves guid hash-key id init-addr "
    "init-state log-proto max-reuse namespace redir resolve-net resolve-opts resolve-prefer resolvers sigalgs socks4 "
    "tcp-ut track"
)
_WORDS_AFTER: Mapping[str, int] = {
    **dict.fromkeys((_DYNAMIC_0 + " " + _OTHER_0).split(), 0),
    **dict.fromkeys((_DYNAMIC_1 + " " + _OTHER_1).split(), 1),
}
DYNAMIC = frozenset((_DYNAMIC_0 + " " + _DYNAMIC_1).split())

Option = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """One server. `host`: an IP address without brackets, or another word; `port`: as it is written, "" for none.
    `inherited`: the options of `default-server`, and `own`, those of the line, each option with its words; None: not
    understood. `line`: word for word."""

    name: str
    host: str
    port: str
    inherited: tuple[Option, ...] | None
    own: tuple[Option, ...] | None
    line: str

    @property
    def understood(self) -> bool:
        """Whether every option of it is known."""
        return self.inherited is not None and self.own is not None

    @property
    def options(self) -> tuple[Option, ...]:
        """All in their order; the later one holds."""
        return (self.inherited or ()) + (self.own or ())

    @property
    def weight(self) -> int | None:
        """None when that is not understood."""
        word = self.word("weight", "1")
        return int(word) if self.understood and word.isdecimal() and int(word) <= 256 else None

    @property
    def disabled(self) -> bool:
        """It is kept out of use."""
        words = [option[0] for option in self.options if option[0] in ("disabled", "enabled")]
        return bool(words) and words[-1] == "disabled"

    @property
    def shuts_sessions(self) -> bool:
        """Its sessions are cut when it goes out of use."""
        return self.word("on-marked-down") == "shutdown-sessions"

    @property
    def is_fixed(self) -> bool:
        """It has an IP address and a port of its own, no name that is resolved and no port of the client's."""
        return _is_ip(self.host) and self.port.isdecimal() and int(self.port) > 0

    def has(self, keyword: str) -> bool:
        """Whether an option stands there, its own or inherited."""
        return any(option[0] == keyword for option in self.options)

    def word(self, keyword: str, otherwise: str = "") -> str:
        """The word after an option."""
        words = [option[1] for option in self.options if option[0] == keyword and len(option) > 1]
        return words[-1] if words else otherwise


@dataclass(frozen=True, slots=True)
class Proxy:
    """A section with servers. `frame`: all its lines but those of servers. `settings`: those lines and, before them,
    the ones of its set of defaults. `servers`: in the file's order."""

    kind: str
    name: str
    frame: tuple[str, ...]
    settings: tuple[str, ...]
    servers: tuple[Server, ...]

    def last(self, keyword: str) -> tuple[str, ...]:
        """The words after a keyword where it stands last, () if it does not."""
        lines = [line for line in self.settings if line_words(line)[0] == keyword]
        return tuple(line_words(lines[-1])[1:]) if lines else ()


def proxies(sections: Sequence[Section], wanted: Iterable[int] | None = None) -> dict[int, Proxy]:
    """The sections with servers by their place in `sections`. `wanted`: those places alone."""
    places = range(len(sections)) if wanted is None else wanted
    return {place: _proxy(sections, place) for place in places if sections[place].kind in WITH_SERVERS}


def frame(section: Section) -> tuple[str, ...]:
    """The lines of a section but those of servers, where it has any."""
    if section.kind not in WITH_SERVERS:
        return section.lines
    return tuple(line for line in section.lines if not _is_server(line))


def _is_server(line: str) -> bool:
    return line.startswith(("server ", "server\t"))


def _proxy(sections: Sequence[Section], place: int) -> Proxy:
    section = sections[place]
    defaults = _defaults(sections, place, section.arguments)
    inherited = [line for line in defaults if line.startswith("default-server")]
    servers = []
    for line in section.lines:
        if line.startswith("default-server"):
            inherited.append(line)
        elif _is_server(line):
            servers.append(_server(line, _inherited(tuple(inherited))))
    own = frame(section)
    return Proxy(section.kind, section.name, own, defaults + own, tuple(servers))


def _defaults(sections: Sequence[Section], place: int, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The lines of the set of defaults that holds for the section at `place`: the one that it names, or the last that
    stands before it; before them those that this one takes over itself."""
    if arguments[:1] == ("from",) and len(arguments) > 1:
        # Only a section that stands before can be named, which also ends this.
        by_name = [i for i in range(place) if sections[i].kind == "defaults" and sections[i].name == arguments[1]]
        at = by_name[-1] if by_name else None
    elif sections[place].kind == "defaults":
        at = None
    else:
        at = next((i for i in reversed(range(place)) if sections[i].kind == "defaults"), None)
    if at is None:
        return ()
    return _defaults(sections, at, sections[at].arguments) + sections[at].lines


@functools.lru_cache(maxsize=64)
def _inherited(lines: tuple[str, ...]) -> tuple[Option, ...] | None:
    return _options([word for line in lines for word in line_words(line)[1:]])


def _server(line: str, inherited: tuple[Option, ...] | None) -> Server:
    words = line_words(line)
    name, address = (*words[1:3], "", "")[:2]
    host, port = _address(address)
    return Server(name, host, port, inherited, _options(words[3:]), line)


def _options(words: Sequence[str]) -> tuple[Option, ...] | None:
    options: list[Option] = []
    at = 0
    while at < len(words):
        after = _WORDS_AFTER.get(words[at])
        if after is None or at + after >= len(words):
            return None
        options.append(tuple(words[at : at + after + 1]))
        at += after + 1
    return tuple(options)


def _address(text: str) -> tuple[str, str]:
    """Host and port. An IPv6 address stands in brackets where hactl writes it; without them its last part is the port,
    as HAProxy reads it."""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, port.removeprefix(":")
    host, colon, port = text.rpartition(":")
    return (host, port) if colon else (text, "")


@functools.lru_cache(maxsize=1024)
def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
