"""The servers of a file of HAProxy's as pyhaproxy reads them: a reader that is not ours, for files that we have
written.

pyhaproxy 0.3.7 refuses a file with a section it does not know or a `bind` without an address, does not recognise a
server with an IPv6 address, and loses the path of unix sockets. So each section is handed over as a backend, which
needs no bind; the result is compared with the line, and read here where it differs.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyhaproxy import config
from pyhaproxy.parse import Parser

from hactl.haproxy.diff.parse import Section, sections
from hactl.haproxy.words import line_words

_WITH_SERVERS = ("listen", "backend")


@dataclass(frozen=True, slots=True)
class ServerLine:
    """One `server` line. `words`: those after the address."""

    name: str
    address: str
    port: int | None
    words: tuple[str, ...] = ()

    @property
    def backup(self) -> bool:
        """It serves only when no other is well."""
        return "backup" in self.words


def read_servers(text: str) -> dict[str, list[ServerLine]]:
    """The servers of every `listen` and `backend` section, in the file's order."""
    return {section.name: _servers(section) for section in sections(text) if section.kind in _WITH_SERVERS}


def _servers(section: Section) -> list[ServerLine]:
    lines = [line for line in section.lines if line.startswith("server ")]
    if not lines:
        return []
    block = "".join(f"    {line}\n" for line in lines)
    parsed = Parser(filestring=f"global\n\nbackend section\n{block}").build_configuration().backends[0]
    known = [server for server in parsed.config_block if isinstance(server, config.Server | config.Config)]
    if len(known) != len(lines):
        raise ValueError(f"{section.kind} {section.name}: {len(lines)} servers, {len(known)} of them understood")
    return [_server(server, line_words(line)[1:]) for server, line in zip(known, lines, strict=True)]


def _server(parsed: config.Server | config.Config, words: list[str]) -> ServerLine:
    """One server as pyhaproxy has it, if it has not torn the address apart; else from the line's own words."""
    if isinstance(parsed, config.Server) and words[1] in (parsed.host, f"{parsed.host}:{parsed.port}"):
        port = int(parsed.port) if parsed.port else None
        return ServerLine(parsed.name, parsed.host, port, tuple(" ".join(parsed.attributes).split()))
    host, _, last = words[1].rpartition(":")
    if not last.isdigit():
        return ServerLine(words[0], words[1].strip("[]"), None, tuple(words[2:]))
    return ServerLine(words[0], host.strip("[]"), int(last), tuple(words[2:]))
