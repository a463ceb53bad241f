"""One line of HAProxy's configuration, taken apart by pyhaproxy; by its words where pyhaproxy tears it.

pyhaproxy 0.3.7 mistakes a bind without a host, an IPv6 address and a unix socket, and loses the offset of a port
(`:+1000`) and the second of two addresses. So its result is put together again and compared with the line; where that
differs the line's own words count. Where it does not, our own reading is the same: a test says so.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from pyhaproxy import config
from pyhaproxy.parse import Parser

WITH_ADDRESS = ("server", "bind")


@dataclass(frozen=True, slots=True)
class Statement:
    """A line. `name`: of a server, ACL, user, backend; "" for others. `address`, `port`: as they are written, of a
    server or bind; a port that is no number, or cannot be told from the address, stays in the address. `words`: all
    others. `by_library`: pyhaproxy's reading held."""

    keyword: str
    name: str = ""
    address: str = ""
    port: str = ""
    words: tuple[str, ...] = ()
    by_library: bool = False


def read_statement(words: Sequence[str]) -> Statement:
    """Take a line apart that is cut into words already, without prefix and comment."""
    return _read(tuple(words))


@functools.lru_cache(maxsize=256)
def _read(words: tuple[str, ...]) -> Statement:
    by_words = read_by_words(words)
    line = " ".join(words)
    try:
        sections = Parser(filestring=f"global\n\nbackend section\n    {line}\n").build_configuration().backends
        statements = [_theirs(parsed, words) for parsed in sections[0].config_block]
    except Exception:
        return by_words
    return statements[0] if len(statements) == 1 and statements[0] is not None else by_words


def _theirs(parsed: object, words: Sequence[str]) -> Statement | None:
    """pyhaproxy's reading, if nothing of the line is missing or elsewhere in it."""
    statement: Statement
    match parsed:
        case config.Server():
            statement = Statement("server", parsed.name, parsed.host, parsed.port, _split(parsed.attributes), True)
        case config.Bind():
            statement = Statement("bind", "", parsed.host, parsed.port, _split(parsed.attributes), True)
        case config.Acl():
            statement = Statement("acl", parsed.name, words=_split([parsed.value]), by_library=True)
        case config.UseBackend():
            keyword = "default_backend" if parsed.is_default else "use_backend"
            condition = _split([parsed.operator, parsed.backend_condition])
            statement = Statement(keyword, parsed.backend_name, words=condition, by_library=True)
        case config.User():
            groups = ["groups", ",".join(parsed.group_names)] if parsed.group_names else []
            statement = Statement("user", parsed.name, "", "", (parsed.passwd_type, parsed.passwd, *groups), True)
        case config.Option():
            statement = Statement("option", words=(parsed.keyword, *_split([parsed.value])), by_library=True)
        case config.Config():
            # Its keyword may be two words: `timeout client`.
            first, *others = _split([parsed.keyword, parsed.value])
            statement = Statement(first, words=tuple(others), by_library=True)
        case _:
            return None
    torn = isinstance(parsed, config.Config) and statement.keyword in (*WITH_ADDRESS, "acl", "user", "use_backend")
    return statement if not torn and _together(statement) == list(words) else None


def _split(parts: Sequence[str]) -> tuple[str, ...]:
    return tuple(" ".join(parts).split())


def _together(statement: Statement) -> list[str]:
    address = f"{statement.address}:{statement.port}" if statement.port else statement.address
    return [word for word in (statement.keyword, statement.name, address) if word] + list(statement.words)


def read_by_words(words: Sequence[str]) -> Statement:
    """Take it apart without pyhaproxy."""
    keyword, remaining = words[0], list(words[1:])
    named = keyword in ("server", "acl", "user", "use_backend", "default_backend")
    name = remaining.pop(0) if named and remaining else ""
    address, port = _address(remaining.pop(0)) if keyword in WITH_ADDRESS and remaining else ("", "")
    return Statement(keyword, name, address, port, tuple(remaining))


def _address(text: str) -> tuple[str, str]:
    """Address and port; a text that is neither `HOST:PORT` nor an IP address stays whole."""
    if text.startswith("[") and text.endswith("]"):
        return text[1:-1], ""
    host, colon, port = text.rpartition(":")
    if not colon or "," in text or "@" in text or text.startswith("/"):
        return text, ""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return (host, port) if port.isdigit() else (host, "") if not port and host else (text, "")
