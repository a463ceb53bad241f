"""HAProxy's lines cut into words: quotes, backslashes, comments. Variables are left as they are.

Source: HAProxy's configuration manual, 2.2 (Quoting and escaping) and 2.3 (Environment variables).
"""

from __future__ import annotations

from dataclasses import dataclass

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
        """It means what is written: it can stand in a setting of its own."""
        return self.raw == self.value


def split_line(text: str) -> list[Word]:
    """The words of a line, without its comment. Raises WordError."""
    words: list[Word] = []
    at = 0
    while at < len(text):
        if text[at] in " \t":
            at += 1
        elif text[at] == "#":
            break
        else:
            word, at = _word(text, at)
            words.append(word)
    return words


def _word(text: str, begin: int) -> tuple[Word, int]:
    """The word that begins there, and where it ends."""
    value, at, quote = "", begin, ""
    while at < len(text):
        letter = text[at]
        if not quote and letter in " \t#":
            break
        if letter == quote:
            quote = ""
        elif not quote and letter in "\"'":
            quote = letter
        elif letter == "\\" and quote != "'":
            escaped, at = _escape(text, at, quote)
            value += escaped
            continue
        else:
            value += letter
        at += 1
    if quote:
        raise WordError(f"a quote ({quote}) has no end")
    return Word(text[begin:at], value), at


def _escape(text: str, at: int, quote: str) -> tuple[str, int]:
    """What the backslash there stands for, and where it ends. One before an ordinary letter stands for itself."""
    following = text[at + 1 : at + 2]
    if not following:
        raise WordError("a backslash at the end of the line: HAProxy knows no lines that go on")
    if following in '\\"#' or (not quote and following in " '") or (quote and following == "$"):
        return following, at + 2
    if following in _ESCAPED:
        return _ESCAPED[following], at + 2
    if following == "x":
        digits = text[at + 2 : at + 4]
        if len(digits) != 2 or any(digit not in _HEX for digit in digits):
            raise WordError("`\\x` needs two hexadecimal digits")
        return chr(int(digits, 16)), at + 4
    return "\\", at + 1
