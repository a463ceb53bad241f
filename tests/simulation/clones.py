"""Copies of a node's disk that are booted beside it: the same name and machine id, another boot, perhaps other
hardware."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from election.records import FenceRecord
from election.store import Compare, Put, Txn
from hactl.model import effects, events
from tests.support.malformed import readable

if TYPE_CHECKING:
    from tests.simulation.node import Daemon, SimNode
    from tests.simulation.plan import Fault
    from tests.simulation.world import World

ASKED_MS = 450.0  # as hactl.resources.vip.own_address
CONFIRM_AGAIN_MS = 3000.0


def machines(world: World, name: str) -> list[SimNode]:
    """All machines that call themselves by this name."""
    return [node for node in world.nodes.values() if node.name == name]


def boot(world: World, node: SimNode, fault: Fault) -> None:
    """A copy of the node's disk, or of last week's backup of it, is booted; for a while. Where a group requires fencing
    it can be heard by the original, and no device switches by this name: what happens there no protocol can tell."""
    key, plan = f"{node.name}/clone", world.plan
    if key in world.nodes or plan.devices or plan.watchdogs:
        return
    lease_alone = plan.trusted and all(group.fencing == "lease" for group in plan.cluster.exclusive)
    clone = world.nodes[key] = world.machine(node.name, "other" if fault.value < 0.3 else "")
    clone.disk = {**node.disk, "specs": dict(node.disk["specs"])}
    if fault.value > 0.8:  # a backup of last week's
        clone.disk.update(known=0, session_id="", specs={})
    clone.unheard = fault.kind == "clone-unheard" or (lease_alone and fault.value > 0.5)
    world.after(1000 + fault.length, lambda: remove(world, key))


def restore_disk(world: World, node: SimNode, fault: Fault) -> None:
    """The machine loses its power, and comes back with last week's disk: nothing of its last sessions is on it."""
    if not node.powered:
        return
    node.power_off()
    node.disk.update(known=node.disk["known"] // 2, session_id="", specs={}, disowned=())
    world.after(4000 + fault.length, node.power_on)


def remove(world: World, key: str) -> None:
    """It is switched off for good. The operator, who did that, confirms what it may have left."""
    clone = world.nodes.pop(key, None)
    if clone is not None:
        clone.power_off()
        _confirm(world, clone, 12)


def remove_all(world: World) -> None:
    """All copies."""
    for key in [key for key in world.nodes if key.endswith("/clone")]:
        remove(world, key)


def carry_out(node: SimNode, daemon: Daemon, effect: effects.Identify | effects.ProbeOriginal | effects.Disown) -> None:
    """What a daemon wants to know of itself and of a machine that is called as it is."""
    world = node.world
    match effect:
        case effects.Disown():
            node.disk["disowned"] = (*node.disk["disowned"], effect.session_id)
        case effects.Identify():
            world.after(1, lambda: node.deliver(daemon, events.Identified(node.machine)))
        case effects.ProbeOriginal():
            world.after(ASKED_MS, lambda: node.deliver(daemon, events.OriginalProbed(_answer(node))))


def _answer(node: SimNode) -> str:
    """Whoever has power answers, also when every process stands still."""
    others = [machine for machine in machines(node.world, node.name) if machine is not node and machine.powered]
    heard = not node.unheard and not any(other.unheard for other in others)
    return "02:00:00:00:00:01" if others and heard else ""


def _confirm(world: World, clone: SimNode, tries: int) -> None:
    """`hactl fence confirm`, of a session of the copy."""
    key = world.keys.fence(clone.name)
    stored = None if world.store_away() or world.now < world.full_until else world.ledger.get(key)
    record = readable(FenceRecord, stored)
    session = world.ledger.get(world.keys.node(clone.name))
    if stored and record and record.session_id in clone.session_ids and record.state == "pending" and session is None:
        safe = replace(record, state="safe", evidence="confirmed", by="operator")
        compares = (Compare(key, "mod", stored.mod_revision), Compare(world.keys.node(clone.name), "create", 0))
        world.commit(Txn(compares, (Put(key, safe.to_json()),)))
    elif tries:
        world.after(CONFIRM_AGAIN_MS, lambda: _confirm(world, clone, tries - 1))
