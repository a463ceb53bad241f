"""One line of HAProxy's configuration, taken apart by pyhaproxy; by its words where pyhaproxy tears it.

pyhaproxy 0.3.7 takes a bind without a host, an IPv6 address and a unix socket for something else, and loses the
offset of a port (`:+1000`) and the second of two addresses. So what it gives is put together again and compared
with the line; where that differs the line's own words count. Where it does not, our own reading is the same: a test
says so.
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
    server or bind; a port that is no number, or cannot be told from the address, stays in the address. `words`: what
    else stands there. `by_library`: pyhaproxy's reading held."""

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
        found = [_theirs(one, words) for one in sections[0].config_block]
    except Exception:
        return by_words
    return found[0] if len(found) == 1 and found[0] is not None else by_words


def _theirs(parsed: object, words: Sequence[str]) -> Statement | None:
    """What pyhaproxy has read, if nothing of the line is missing or elsewhere in it."""
    found: Statement
    match parsed:
        case config.Server():
            found = Statement("server", parsed.name, parsed.host, parsed.port, _split(parsed.attributes), True)
        case config.Bind():
            found = Statement("bind", "", parsed.host, parsed.port, _split(parsed.attributes), True)
        case config.Acl():
            found = Statement("acl", parsed.name, words=_split([parsed.value]), by_library=True)
        case config.UseBackend():
            keyword = "default_backend" if parsed.is_default else "use_backend"
            condition = _split([parsed.operator, parsed.backend_condition])
            found = Statement(keyword, parsed.backend_name, words=condition, by_library=True)
        case config.User():
            groups = ["groups", ",".join(parsed.group_names)] if parsed.group_names else []
            found = Statement("user", parsed.name, words=(parsed.passwd_type, parsed.passwd, *groups), by_library=True)
        case config.Option():
            found = Statement("option", words=(parsed.keyword, *_split([parsed.value])), by_library=True)
        case config.Config():
            # Its keyword may be two words: `timeout client`.
            first, *rest = _split([parsed.keyword, parsed.value])
            found = Statement(first, words=tuple(rest), by_library=True)
        case _:
            return None
    torn = isinstance(parsed, config.Config) and found.keyword in (*WITH_ADDRESS, "acl", "user", "use_backend")
    return found if not torn and _together(found) == list(words) else None


def _split(parts: Sequence[str]) -> tuple[str, ...]:
    return tuple(" ".join(parts).split())


def _together(one: Statement) -> list[str]:
    address = f"{one.address}:{one.port}" if one.port else one.address
    return [word for word in (one.keyword, one.name, address) if word] + list(one.words)


def read_by_words(words: Sequence[str]) -> Statement:
    """Take it apart without pyhaproxy."""
    keyword, rest = words[0], list(words[1:])
    named = keyword in ("server", "acl", "user", "use_backend", "default_backend")
    name = rest.pop(0) if named and rest else ""
    address, port = _address(rest.pop(0)) if keyword in WITH_ADDRESS and rest else ("", "")
    return Statement(keyword, name, address, port, tuple(rest))


def _address(text: str) -> tuple[str, str]:
    """Address and port; what is neither `HOST:PORT` nor an IP address stays whole."""
    if text.startswith("[") and text.endswith("]"):
        return text[1:-1], ""
    host, colon, port = text.rpartition(":")
    if not colon or "," in text or "@" in text or text.startswith("/"):
        return text, ""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return (host, port) if port.isdigit() else (host, "") if not port and host else (text, "")
