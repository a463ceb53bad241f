"""Reads HAProxy's configuration: which servers and binds a proxy has. With statements.py, the only user of
pyhaproxy.

pyhaproxy 0.3.7 refuses a file with a section it does not know or a `bind` without an address, and does not
take a server with an IPv6 address for one; unix sockets lose their path. So the file is cut into its
sections here, each is handed over as a backend, which needs no bind, and what comes back is compared with the
line, and read here where it is not the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyhaproxy import config
from pyhaproxy.parse import Parser

from hactl.haproxy.words import SECTIONS, SPACES, line_words, text_lines

_WITH_SERVERS = ("listen", "backend")
_WITH_BINDS = ("listen", "frontend", "log-forward")


@dataclass(frozen=True, slots=True)
class ServerLine:
    """One `server` line. `words`: what follows the address."""

    name: str
    address: str
    port: int | None
    words: tuple[str, ...] = ()

    @property
    def backup(self) -> bool:
        """It serves only when no other is well."""
        return "backup" in self.words


@dataclass(frozen=True, slots=True)
class Section:
    """One section: its first line's words, and its lines. `arguments`: the words after the name (`from DEFAULTS`)."""

    kind: str
    name: str
    lines: tuple[str, ...]
    arguments: tuple[str, ...] = ()


def sections(text: str) -> list[Section]:
    """The file cut into sections. Comments and empty lines are left out."""
    found: list[tuple[str, str, list[str], tuple[str, ...]]] = []
    for line in text_lines(text):
        stripped = line.strip(SPACES)
        if not stripped or stripped.startswith("#"):
            continue
        words = line_words(stripped)
        if words[0] in SECTIONS:
            found.append((words[0], words[1] if len(words) > 1 else "", [], tuple(words[2:])))
        elif found:
            found[-1][2].append(stripped)
    return [Section(kind, name, tuple(lines), arguments) for kind, name, lines, arguments in found]


def read_servers(text: str) -> dict[str, list[ServerLine]]:
    """The servers of every `listen` and `backend` section, in the file's order."""
    return {one.name: _servers(one) for one in sections(text) if one.kind in _WITH_SERVERS}


def read_binds(text: str) -> dict[str, list[str]]:
    """The addresses, as they are written, to which every `listen`, `frontend` and `log-forward` section is bound. With
    their kind before them where that is not said by themselves: `udp@`, `v6only@`, and `namespace@` for those of
    another network namespace."""
    found: dict[str, list[str]] = {}
    for section in sections(text):
        if section.kind in _WITH_BINDS:
            # A `log-forward` may have the name of a proxy.
            found.setdefault(section.name, []).extend(one for line in section.lines for one in _bound(line_words(line)))
    return found


def _bound(words: Sequence[str]) -> Iterator[str]:
    if words[0] not in ("bind", "dgram-bind") or len(words) < 2:
        return
    kind = "udp@" if words[0] == "dgram-bind" else "v6only@" if "v6only" in words[2:] else ""
    kind = "namespace@" if "namespace" in words[2:] else kind
    for address in words[1].split(","):
        yield address if "@" in address else f"{kind}{address}"


def _servers(section: Section) -> list[ServerLine]:
    lines = [line for line in section.lines if line.startswith("server ")]
    if not lines:
        return []
    block = "".join(f"    {line}\n" for line in lines)
    parsed = Parser(filestring=f"global\n\nbackend section\n{block}").build_configuration().backends[0]
    known = [one for one in parsed.config_block if isinstance(one, config.Server | config.Config)]
    if len(known) != len(lines):
        raise ValueError(f"{section.kind} {section.name}: {len(lines)} servers, {len(known)} of them understood")
    return [_server(one, line_words(line)[1:]) for one, line in zip(known, lines, strict=True)]


def _server(parsed: config.Server | config.Config, words: list[str]) -> ServerLine:
    """One server as pyhaproxy has it, if it has not torn the address apart; else from the line's own words."""
    if isinstance(parsed, config.Server) and words[1] in (parsed.host, f"{parsed.host}:{parsed.port}"):
        port = int(parsed.port) if parsed.port else None
        return ServerLine(parsed.name, parsed.host, port, tuple(" ".join(parsed.attributes).split()))
    host, _, last = words[1].rpartition(":")
    if not last.isdigit():
        return ServerLine(words[0], words[1].strip("[]"), None, tuple(words[2:]))
    return ServerLine(words[0], host.strip("[]"), int(last), tuple(words[2:]))
