"""The secret options of a fence agent, and the removal of secrets from an agent's output. Pure."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

HIDDEN = "***"
# A shorter secret is in any text by chance: hiding it would tell where, and leave nothing to read.
_SHORTEST = 4
WITHHELD = f"(output withheld: a secret shorter than {_SHORTEST} characters cannot be hidden in it)"

_NAME = re.compile(
    r"passw|passphrase|secret|token|api_?key|access_key|private_key|community|hexadecimal_kg|credential|^key$"
)
_WORDS = re.compile(r"\b(password|passphrase|secret|api key|authentication key|api token|kg key|community string)\b")
# A name or a description that speaks of a place where a secret is, or of how to get it.
_PLACE = re.compile(r"(_|^)(file|path|script|url|timeout|type|wait|prompt)$")
_ABOUT = re.compile(r"\b(path to|without password|file)\b")


def is_secret(name: str, description: str = "") -> bool:
    """Whether the option `name` seems to hold a secret, by its name or its agent's description."""
    plain = name.lower().replace("-", "_")
    if _PLACE.search(plain):
        return False
    lowered = description.lower()
    return bool(_NAME.search(plain) or (_WORDS.search(lowered) and not _ABOUT.search(lowered)))


class Redactor:
    """Takes secrets out of texts, also as they look when quoted, escaped, or sent as HTTP's basic credentials."""

    def __init__(self, secrets: Iterable[str], logins: Iterable[str] = ()) -> None:
        """`secrets` are the values; `logins` the names of users they may belong to."""
        known = {secret for secret in secrets if secret}
        users = tuple(logins)
        self._too_short = any(len(secret) < _SHORTEST for secret in known)
        spellings = {spelling for secret in known for spelling in _spellings(secret, users)}
        # The longest first: one may be a part of another.
        long = (spelling for spelling in spellings if len(spelling) >= _SHORTEST)
        ordered = sorted(long, key=lambda spelling: (-len(spelling), spelling))
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None
        self._longest = len(ordered[0]) if ordered else 0

    def clean(self, text: str, *, cut: bool = False) -> str:
        """`text` without secrets. `cut`: it is the beginning of a longer text, so that its end may be a part of a
        secret: that much is dropped."""
        if self._too_short:
            return WITHHELD if text else ""
        cleaned = self._pattern.sub(HIDDEN, text) if self._pattern else text
        return cleaned[: max(0, len(cleaned) - self._longest)] if cut else cleaned


def _spellings(secret: str, users: Iterable[str]) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote(secret)
    yield quote_plus(secret)
    yield html.escape(secret)
    yield html.escape(secret, quote=False)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield repr(secret.encode())[2:-1]
    # As in a shell's single quotes.
    yield secret.replace("'", "'\"'\"'")
    yield secret.replace("'", "'\\''")
    for plain in (secret, *(f"{user}:{secret}" for user in users)):
        yield base64.b64encode(plain.encode()).decode().rstrip("=")
    yield secret.encode().hex()
