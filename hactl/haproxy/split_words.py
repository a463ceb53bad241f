"""HAProxy's lines cut into words: quotes, backslashes, comments. Variables are left as they are.

A byte that is no UTF-8 comes here as a lone surrogate (`surrogateescape`). It, and what cannot be printed, is written
`\\xNN` in `raw`, which HAProxy reads as that byte: so the line means the same in a file that is UTF-8.

Source: HAProxy's configuration manual, 2.2 (Quoting and escaping) and 2.3 (Environment variables).
"""

from __future__ import annotations

from dataclasses import dataclass

from hactl.haproxy.words import SPACES

_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_HEX = "0123456789abcdefABCDEF"


class WordError(ValueError):
    """A line that HAProxy would not take either. The message says why."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word. `raw`: as it is written; `value`: as HAProxy has it, but variables such as `"${HOST}"` unresolved."""

    raw: str
    value: str

    @property
    def plain(self) -> bool:
        """It is its own value: it can stand in a setting of its own."""
        return self.raw == self.value


def split_line(text: str) -> list[Word]:
    """The words of a line, without its comment. Raises WordError."""
    words: list[Word] = []
    at = 0
    while at < len(text):
        if text[at] in SPACES:
            at += 1
        elif text[at] == "#":
            break
        else:
            word, at = _word(text, at)
            words.append(word)
    return words


def _word(text: str, begin: int) -> tuple[Word, int]:
    """The word that begins there, and where it ends."""
    raw, value, at, quote = "", "", begin, ""
    while at < len(text):
        letter = text[at]
        if not quote and letter in f"{SPACES}#":
            break
        if letter == quote:
            quote = ""
        elif not quote and letter in "\"'":
            quote = letter
        elif letter == "\\" and quote != "'":
            escaped, end = _escape(text, at, quote)
            # At the end of a line it stands for itself; in front of another word it would not.
            raw, value, at = raw + (text[at:end] if end < len(text) or escaped != "\\" else r"\\"), value + escaped, end
            continue
        elif not letter.isprintable():
            raw, value, at = raw + _hexadecimal(letter, quote), value + _bytes_of(letter), at + 1
            continue
        else:
            value += letter
        raw += letter
        at += 1
    if quote:
        raise WordError(f"a quote ({quote}) has no end")
    return Word(raw, value), at


def _bytes_of(letter: str) -> str:
    """Its bytes, those beyond ASCII as `surrogateescape` has them: the value that HAProxy reads, however it is
    written."""
    return letter.encode(errors="surrogateescape").decode("ascii", errors="surrogateescape")


def _hexadecimal(letter: str, quote: str) -> str:
    """A letter that no line of cluster.yaml can hold, inside these quotes."""
    escaped = "".join(f"\\x{code:02X}" for code in letter.encode(errors="surrogateescape"))
    # Between strong quotes a backslash is a backslash.
    return f"'{escaped}'" if quote == "'" else escaped


def _escape(text: str, at: int, quote: str) -> tuple[str, int]:
    """The text that the backslash there stands for, and where it ends. One before an ordinary letter stands for
    itself."""
    following = text[at + 1 : at + 2]
    if following and (following in "\\\"'# " or (quote and following == "$")):
        return following, at + 2
    if following in _ESCAPED:
        return _ESCAPED[following], at + 2
    if following == "x":
        digits = text[at + 2 : at + 4]
        if len(digits) != 2 or any(digit not in _HEX for digit in digits):
            raise WordError("`\\x` needs two hexadecimal digits")
        code = int(digits, 16)
        if not code:
            raise WordError("`\\x00` ends the word for HAProxy")
        return chr(code if code < 0x80 else 0xDC00 + code), at + 4
    return "\\", at + 1
