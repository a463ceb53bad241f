"""How HAProxy writes words, durations and addresses, and which words begin a section. Pure."""

from __future__ import annotations

import re

# The words that begin a section. Source: HAProxy's configuration manual, 2.6 to 3.4.
_SECTIONS = (
    "global defaults listen frontend backend peers resolvers userlist mailers cache program ring http-errors fcgi-app "
    "crt-store log-forward log-profile traces acme healthcheck namespace_list"
)
SECTIONS = frozenset(_SECTIONS.split())

# The spaces between words. Source: HAProxy 2.6, isspace() in the C locale; other Unicode spaces are letters to it.
SPACES = " \t\r\v\f"
_BETWEEN = re.compile(f"[{SPACES}]+")

# Characters that end a word, begin a comment or escape the next character. Source: HAProxy's manual, 2.2.
_SPECIAL = re.compile(r"""([\s#"'\\])""")

# Kinds of address without a port. Source: HAProxy's manual, `bind`.
_PATHS = ("unix@", "abns@", "abnsx@", "fd@", "sockpair@")


def text_lines(text: str) -> list[str]:
    """The lines of a text for or from HAProxy. `str.splitlines` would end them at U+0085, form feeds and others."""
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def line_words(line: str) -> list[str]:
    """The words between HAProxy's spaces, quotes and all."""
    return [word for word in _BETWEEN.split(line) if word]


def quoted(word: str) -> str:
    """The word as one word of HAProxy's language; an empty one as ``""``."""
    return _SPECIAL.sub(r"\\\1", word) or '""'


def duration(milliseconds: float) -> str:
    """A duration: `1500ms`, `10s`."""
    whole = round(milliseconds)
    return f"{whole // 1000}s" if whole and whole % 1000 == 0 else f"{whole}ms"


def endpoint(address: str, port: int) -> str:
    """Address and port of a server; without a port, and for a path, the address alone."""
    if is_path(address):
        return address
    host = f"[{address}]" if re.fullmatch(r"[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", address) else address
    return f"{host}:{port}" if port else host


def is_path(address: str) -> bool:
    """Whether it is a socket that has no port."""
    return address.startswith(("/", *_PATHS))


def is_name(address: str) -> bool:
    """Whether a name server is asked for its address."""
    return not is_path(address) and re.fullmatch(r"[0-9.*]+|.*[:@].*", address) is None
