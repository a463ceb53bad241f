"""Expressions on a node's attributes: `rack == "a" and not (disk in ("sata", "usb") or memory < 64)`. Pure.

Words: `and`, `or`, `not`, parentheses; `==`, `!=`, `<`, `<=`, `>`, `>=`, `in (…)`, `not in (…)`. A name alone holds
where the attribute is there and not `false`. Text stands in quotes, or without where it is one word on the right of a
comparison. A comparison with an attribute that a node does not have, or of text with a number, does not hold;
`!=` and `not in` do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

Value = str | float | bool
Attributes = Mapping[str, Value]
_Test = Callable[[Attributes], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>-?\d+(?:\.\d+)?)(?![\w.-])|(?P<word>[A-Za-z_][\w.-]*)|(?P<text>"[^"]*"|'[^']*')"""
    r"""|(?P<sign>==|!=|<=|>=|<|>|\(|\)|,))"""
)
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}
_KEYWORDS = ("and", "or", "not", "in", "true", "false")
# Deeper ones are nobody's intention, and would end the parser.
_DEEPEST = 50


class ExpressionError(ValueError):
    """The expression cannot be read; the message says where."""


@dataclass(frozen=True)
class Expression:
    """An expression that was read. `names`: the attributes that it asks for."""

    text: str
    names: frozenset[str]
    holds: _Test


@lru_cache(maxsize=4096)
def parse(text: str) -> Expression:
    """Read an expression. Raises ExpressionError."""
    reader = _Reader(text)
    test = reader.either()
    if reader.kind:
        raise reader.error("`and` or `or`")
    return Expression(text, frozenset(reader.names), test)


class _Reader:
    """Reads one expression, a token at a time: `kind` and `token` are the next one's."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0
        self.names: set[str] = set()
        self.kind = self.token = ""
        self._begin = 0
        self.next()

    def error(self, expected: str) -> ExpressionError:
        found = f"`{self.token}`" if self.kind else "the end"
        return ExpressionError(f"at character {self._begin + 1}: {expected} is expected, not {found}")

    def next(self) -> str:
        """Take the token; the next one is read. Raises ExpressionError."""
        taken = self.token
        rest = self.text[self.at :]
        self._begin = self.at + len(rest) - len(rest.lstrip())
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            self.kind = self.token = ""
            if rest.strip():
                raise ExpressionError(f"at character {self._begin + 1}: `{rest.strip()[0]}` has no meaning here")
            return taken
        self.kind, self.at = str(match.lastgroup), match.end()
        self.token = match[self.kind]
        if self.kind == "word" and self.token in _KEYWORDS:
            self.kind = "keyword"
        return taken

    def takes(self, *tokens: str) -> str:
        """Take the token if it is one of these; empty: it is not."""
        return self.next() if self.kind in ("keyword", "sign") and self.token in tokens else ""

    def either(self) -> _Test:
        tests = [self.both()]
        while self.takes("or"):
            tests.append(self.both())
        return tests[0] if len(tests) == 1 else lambda node: any(test(node) for test in tests)

    def both(self) -> _Test:
        tests = [self.negated()]
        while self.takes("and"):
            tests.append(self.negated())
        return tests[0] if len(tests) == 1 else lambda node: all(test(node) for test in tests)

    def negated(self) -> _Test:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ExpressionError(f"at character {self._begin + 1}: it is nested too deeply")
        test = self._negated()
        self.depth -= 1
        return test

    def _negated(self) -> _Test:
        if self.takes("not"):
            inner = self.negated()
            return lambda node: not inner(node)
        if self.takes("("):
            inner = self.either()
            if not self.takes(")"):
                raise self.error("`)`")
            return inner
        return self.comparison()

    def comparison(self) -> _Test:
        if self.kind != "word":
            raise self.error("the name of an attribute")
        name = self.next()
        self.names.add(name)
        if sign := self.takes("==", "!="):
            wanted = self.value()
            return lambda node: (_equal(node.get(name), wanted)) == (sign == "==")
        if sign := self.takes(*_ORDERS):
            limit = self.value()
            if isinstance(limit, bool) or not isinstance(limit, int | float):
                raise ExpressionError(f"`{name} {sign}` needs a number, not `{limit}`")
            order = _ORDERS[sign]
            return lambda node: _is_number(seen := node.get(name)) and order(float(seen or 0), limit)
        inside = self.takes("in", "not")
        if not inside:
            return lambda node: node.get(name, False) is not False
        if inside == "not" and not self.takes("in"):
            raise self.error("`in`")
        members = self.values()
        return lambda node: any(_equal(node.get(name), member) for member in members) == (inside == "in")

    def values(self) -> tuple[Value, ...]:
        if not self.takes("("):
            raise self.error("`(`")
        members = [self.value()]
        while self.takes(","):
            members.append(self.value())
        if not self.takes(")"):
            raise self.error("`,` or `)`")
        return tuple(members)

    def value(self) -> Value:
        if self.kind == "number":
            return float(self.next())
        if self.kind == "text":
            return self.next()[1:-1]
        if self.kind == "word":
            return self.next()
        if word := self.takes("true", "false"):
            return word == "true"
        raise self.error("a value")


def _equal(seen: Value | None, wanted: Value) -> bool:
    return seen is not None and isinstance(seen, bool) == isinstance(wanted, bool) and seen == wanted


def _is_number(seen: Value | None) -> bool:
    return isinstance(seen, int | float) and not isinstance(seen, bool)
