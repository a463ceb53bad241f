"""How much is tried of each target: a few hundred inputs in the ordinary run; for FUZZ_SECONDS each with `make fuzz`,
new ones every time. A failing input replays by its number."""

from __future__ import annotations

import functools
import json
import os
import random
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.examples import examples

SECONDS = float(os.environ.get("FUZZ_SECONDS") or 0)

Test = Callable[..., None]


class Numbered(random.Random):
    """A generator that says by which number it can be had again."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __repr__(self) -> str:
        return f"Numbered({self.number})"


def fuzzed(short: int) -> Callable[[Test], Test]:
    """Have a test called with many random generators, as its argument `rng`: `short` in the ordinary run."""

    def around(test: Test) -> Test:
        bounded = settings(
            max_examples=examples(short),
            deadline=None,
            derandomize=not SECONDS,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        many = bounded(given(rng=st.builds(Numbered, st.integers(0, 2**63)))(test))
        if not SECONDS:
            return many

        @functools.wraps(many)
        def for_seconds(*args: Any, **named: Any) -> None:
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                many(*args, **named)

        return for_seconds

    return around


_PIECES = (
    "\x00", "\x1b[31m", "\x85", "\u2028", "\udc80", "\ufeff", "\r\n", "\t", "\n", " ", "#", "'", '"', "\\", "{", "}",
    "[", "]", ":", ",", "-", "*", "&a", "*a", "!!python/object", "%", "$", "~", "null", "true", "1e999", ".inf", ".nan",
    "9" * 400, "0x10", "-1", "99999999999d", "1" * 5000 + "s", "é", "漢", "a" * 3000, "[" * 2000, "{a: " * 500,
)  # fmt: skip


def mutated(rng: random.Random, text: str) -> str:
    """The text with a few things in it changed."""
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.choice([0, 1, 3, 10, 40]))
        match rng.randrange(5):
            case 0:
                text = text[:at] + text[end:]
            case 1:
                text = text[:at] + rng.choice(_PIECES) + text[end:]
            case 2:
                other = rng.randrange(len(text) + 1)
                text = text[:at] + text[other : other + rng.choice([5, 30])] + text[end:]
            case 3:
                lines = text.split("\n")
                lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
                text = "\n".join(lines)
            case _:
                text = text[:at] + chr(rng.randrange(1, 0x110000)) + text[end:]
    return text


def raw(rng: random.Random, data: bytes) -> bytes:
    """The bytes with a few changed; truncated; or none of them."""
    if not data or rng.random() < 0.1:
        return rng.randbytes(rng.choice([0, 1, 50, 3000]))
    noisy = bytearray(data)
    for _ in range(rng.choice([1, 2, 5])):
        noisy[rng.randrange(len(noisy))] = rng.randrange(256)
    return bytes(noisy[: rng.randrange(len(noisy)) if rng.random() < 0.2 else len(noisy)])


def value(rng: random.Random, depth: int = 3) -> Any:
    """Any JSON value, and the values that Python's json accepts beyond JSON."""
    simple = (
        *(None, True, False, 0, -1, 7, 2**63, 2**70, 1.5, float("nan"), float("inf"), -0.0),
        *("", "x", "n1", "service", "off", "\udc80", "\x00", "\x1b[31m", "é" * 200, "a" * 5000),
    )
    match rng.randrange(6) if depth else 0:
        case 1:
            return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
        case 2:
            return {rng.choice(["a", "node", "group", "to", "", "id"]): value(rng, depth - 1) for _ in range(3)}
        case _:
            return rng.choice(simple)


def changed(rng: random.Random, document: Any) -> Any:
    """The document with one value in it, at any depth, another one or away."""
    if isinstance(document, dict) and document and rng.random() < 0.9:
        name = rng.choice(sorted(document))
        others = {key: member for key, member in document.items() if key != name}
        return others if rng.random() < 0.2 else {**others, name: changed(rng, document[name])}
    if isinstance(document, list | tuple) and document and rng.random() < 0.9:
        at = rng.randrange(len(document))
        return [*document[:at], changed(rng, document[at]), *document[at + 1 :]]
    return value(rng)


def as_json(rng: random.Random, document: Any) -> str:
    """It as text, now and then not quite."""
    text = json.dumps(changed(rng, document))
    return text if rng.random() < 0.8 else mutated(rng, text)
