"""Documents as a hand, another program or a later version may leave them in etcd: for tests and the simulation."""

from __future__ import annotations

import json
import random
from typing import Any, TypeVar

from election.keys import Keys
from election.records import Record, RecordError
from election.store import KeyValue

R = TypeVar("R", bound=Record)

# Texts that are no document of any kind.
GARBAGE = (
    "", "x", "null", "[]", "7", '"text"', "{", "{}", "NaN", '{"a": NaN}', '{"a": Infinity}', "[" * 100_000,
    '{"a":' * 5_000, "9" * 5_000, '{"a": 1e999}', '{"sid": "\\ud800"}', "\udcff\udcfe", "\x00", "\x1b[31mred",
    "x" * 2_000_000,
)  # fmt: skip

# Values that a field may hold in place of its own.
WRONG = (
    None, True, False, -1, 0, 1.5, 1e300, 2**62, 2**63, 2**64, 10**400, "", "long", "7", "\x1b[31m", "a/b", "..", " ",
    [], {}, [None], [[]], {"": {}}, {"a": {"b": []}}, ["n1"], "x" * 5000,
)  # fmt: skip

NAMES = ("", "zz", "a/b", "a/b/c", "..", ".", "-", "*", " ", "\udcff", "\n", "é", "x" * 200, "%s", "'; rm -rf /", "{}")


def keys_of(keys: Keys, nodes: list[str], groups: list[str]) -> list[str]:
    """A key of every kind, of those that are there and of some that are not."""
    first = [keys.identity, keys.config, keys.fence_test]
    for node in (*nodes, "zz"):
        first += [keys.node(node), keys.fence(node), keys.member(node), keys.report(node), keys.devices(node)]
        first += [keys.standby(node), keys.confirm(node), keys.node_maintenance(node)]
    for group in (*groups, "nosuch"):
        first += [keys.group(group), keys.probe(group), keys.move(group), keys.maintenance(group), keys.cleanup(group)]
        first += [keys.blocked(group)]
        first += [keys.failure(group, (*nodes, "zz")[0]), keys.drain(group, nodes[0])]
    return first


def misnamed(keys: Keys) -> list[str]:
    """Keys of a known kind with a name that the kind cannot have, and kinds that no version knows."""
    kinds: tuple[str, ...] = ("identity", "config", "nodes", "fence", "groups", "members", "reports", "devices")
    kinds += ("failures", "probes", "blocked", "refused")
    intents = (
        "fence-test",
        "move",
        "standby",
        "drain",
        "maintenance",
        "node-maintenance",
        "cleanup",
        "confirm",
        "",
        "identity",
    )
    bases = [keys.prefix + kind for kind in kinds] + [f"{keys.prefix}intents/{intent}" for intent in intents]
    misplaced = [f"{base}/{name}" for base in bases for name in NAMES]
    misplaced += [
        keys.prefix + kind for kind in (*kinds[2:], "intents", "intents/move", "intents/drain", "", "later/kind")
    ]
    return misplaced


def spoiled(rng: random.Random, text: str) -> str:
    """A document with one value in it changed, anywhere; garbage for a text that is no document."""
    if rng.random() < 0.3:
        return rng.choice(GARBAGE)
    try:
        raw: Any = json.loads(text)
    except ValueError:
        return rng.choice(GARBAGE)
    if not isinstance(raw, dict) or not raw:
        return rng.choice(GARBAGE)
    name = rng.choice(sorted(raw))
    match rng.randrange(4):
        case 0:
            del raw[name]
        case 1 if isinstance(raw[name], dict | list) and raw[name]:
            inner = raw[name]
            where = rng.choice(sorted(inner)) if isinstance(inner, dict) else rng.randrange(len(inner))
            inner[where] = rng.choice(WRONG)
        case 2:
            return text[: rng.randrange(len(text))]
        case _:
            raw[name] = rng.choice(WRONG)
    return json.dumps(raw)


def later(rng: random.Random, text: str) -> str:
    """The document as a later version may write it: with fields that this version does not know."""
    try:
        raw = json.loads(text)
    except ValueError:
        return text
    if not isinstance(raw, dict):
        return text
    return json.dumps({**raw, f"later_{rng.randrange(3)}": rng.choice([1, "x", {"a": [1, {"b": 2}]}, None])})


def readable(kind: type[R], kv: KeyValue | None) -> R | None:
    """The document, if there is one that can be read."""
    try:
        return kind.from_json(kv.value) if kv else None
    except RecordError:
        return None
