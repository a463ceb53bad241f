"""Faults: documents that nobody can read, of every kind of key, by hand; and what a later version may write. The
operator deletes them again, or puts back what was there, as the status says (hactl/status/unreadable.py)."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from election import view
from election.records import FenceRecord
from election.store import Compare, Delete, KeyValue, Put
from tests.support import malformed
from tests.support.malformed import readable

if TYPE_CHECKING:
    from tests.simulation.node import SimNode
    from tests.simulation.plan import Fault
    from tests.simulation.world import World

# Requests: the value of these keys says nothing, the key alone is the request.
_WISHES = ("standby", "maintenance", "drain")

# How long the operator waits before a word about a session that was deleted: longer than any lease.
VOUCHED_MS = 16_000.0

# As it is without any mutation.
_PLACES = view._PLACES


def malform(world: World, node: SimNode, fault: Fault) -> None:
    """Put garbage, or a document with something wrong in it, under some key; repair it after a while."""
    rng = random.Random(f"{world.plan.seed} {fault.at}")
    key = _choose(world, rng, fault)
    before = world.ledger.get(key)
    text = _unreadable(world, key, before.value if before else "", rng)
    if world.store_away() or text is None:
        return
    world.say("    malformed: %s: %s", key, ascii(text[:60]))
    revision = _put(world, key, text)
    if not revision:
        return
    world.checks.count(f"malformed {world.keys.kind_of(key)[0].partition('/')[0][:8]}")
    world.malformed[key] = (revision, before)
    world.after(fault.length, lambda: _repair_when_store(world, key, revision))


def write_later(world: World, node: SimNode, fault: Fault) -> None:
    """A later version adds fields to what is there, and keys of kinds and names that nobody knows."""
    rng = random.Random(f"{world.plan.seed} {fault.at} later")
    if world.store_away():
        return
    if rng.random() < 0.4:
        _put(world, f"{world.keys.prefix}{rng.choice(['later/x', 'shards', 'intents/later/x', 'config/next'])}", "{}")
        return
    kinds = [world.keys.fence(name) for name in world.nodes]
    kinds += [world.keys.group(group.name) for group in world.plan.cluster.exclusive]
    stored = world.ledger.get(rng.choice(kinds))
    if stored is not None and stored.key not in world.malformed:
        _put(world, stored.key, malformed.later(rng, stored.value))


def repair_all(world: World) -> None:
    """The operator looks at the status, and does what it says: also of what a restore of the store brought back."""
    for kv in world.ledger.snapshot(world.keys.prefix).items:
        if kv.key not in world.malformed and is_unreadable(world, kv):
            world.malformed[kv.key] = (kv.mod_revision, None)
    for key, (revision, _) in list(world.malformed.items()):
        _repair_when_store(world, key, revision)


def is_unreadable(world: World, kv: KeyValue) -> bool:
    """Whether the product cannot read this."""
    kind, name = world.keys.kind_of(kv.key)
    return kind in _PLACES and bool(_PLACES[kind].read(kv, name)[1])


def _choose(world: World, rng: random.Random, fault: Fault) -> str:
    keys, nodes = world.keys, list(world.nodes)
    groups = [group.name for group in world.plan.cluster.exclusive]
    if fault.kind == "malformed-fence":
        return keys.fence(fault.node)
    near = [keys.node(fault.node), keys.fence(fault.node), keys.group(rng.choice(groups)), keys.report(fault.node)]
    if rng.random() < 0.7:
        return rng.choice([*near, keys.identity, keys.config])
    if rng.random() < 0.5:
        return rng.choice(malformed.misnamed(keys))
    return rng.choice(malformed.keys_of(keys, nodes, groups))


def _unreadable(world: World, key: str, before: str, rng: random.Random) -> str | None:
    """A text that is unreadable there; None: everything is readable there, or it is unreadable already."""
    if key in world.malformed or world.keys.kind_of(key)[0].removeprefix("intents/") in _WISHES:
        return None
    if key == world.keys.config:
        return rng.choice(["x", "[", '{"serial": "a"}'])
    for _ in range(10):
        text = malformed.spoiled(rng, before)[:100_000]
        if is_unreadable(world, KeyValue(key, text, 1, 1)):
            return text
    return None


def _put(world: World, key: str, text: str) -> int:
    from tests.simulation.faults import write

    # Into a full store it would be written later, when nobody knows of it any more to repair it.
    write(world, Put(key, text), wanted=lambda: not world.mended_at and world.now >= world.full_until)
    stored = world.ledger.get(key)
    return stored.mod_revision if stored and stored.value == text else 0


def _alive(world: World, name: str) -> bool:
    node = world.nodes.get(name)
    return node is not None and node.daemon is not None and node.daemon.state.session.state == "live"


def vouch(world: World, name: str, tries: int) -> None:
    """A node whose session was deleted may not know that it was its own, after its disk was put back: the operator sees
    that nothing of it runs, and says so (`hactl fence confirm`)."""
    from tests.simulation.operator import write

    key, node = world.keys.fence(name), world.nodes.get(name)
    if node is None:
        return  # a name that no machine has
    there = None if world.store_away() else world.ledger.get(key)
    record = readable(FenceRecord, there)
    gone = world.ledger.get(world.keys.node(name)) is None and not world.checks.exclusive_running(node)
    if there and record and record.state == "pending" and not record.machine_id and gone:
        compares = (Compare(key, "mod", there.mod_revision), Compare(world.keys.node(name), "create", 0))
        write(world, Put(key, replace(record, state="safe", evidence="confirmed").to_json()), compares=compares)
    elif tries:
        world.after(VOUCHED_MS, lambda: vouch(world, name, tries - 1))


def _repair_when_store(world: World, key: str, revision: int) -> None:
    from tests.simulation.faults import when_store, write

    def repair() -> None:
        if world.now < world.full_until:  # then it would be written later, perhaps over what somebody repairs meanwhile
            when_store(world, world.full_until - world.now, repair)
            return
        there, (mine, before) = world.ledger.get(key), world.malformed.get(key, (0, None))
        if mine != revision:
            return
        kind, name = world.keys.kind_of(key)
        if kind == "nodes" and there and there.mod_revision == revision and _alive(world, name):
            when_store(world, 3_000, repair)  # "a hactl that lives there writes it anew"
            return
        del world.malformed[key]
        if there is None or there.mod_revision != revision:
            return  # it was written anew meanwhile
        world.say("--- operator: repairs %s", key)
        restore = before is not None and kind in ("identity", "config", "fence", "groups")
        delete = kind == "groups" and random.Random(revision).random() < 0.5
        operation = Put(key, before.value) if restore and before and not delete else Delete(key)
        write(world, operation, compares=(Compare(key, "mod", revision),))
        if kind == "nodes" and name in world.nodes:
            world.after(VOUCHED_MS, lambda: vouch(world, name, 5))

    when_store(world, 0, repair)
