"""Faults: what the plan's words do to the world, and the operator who repairs what needs a hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from election.observer import limit_ms
from election.records import Ban, Maintenance, Move, Ownership, RecordError, Restart, Stop
from election.session import dead
from election.store import Compare, Delete, Put
from fencing.topology import Topology
from hactl.model import events
from hactl.model.events import READINESS
from tests.simulation import clones
from tests.simulation.malformed import malform, write_later
from tests.simulation.node import SimNode
from tests.simulation.operator import (
    checkpoint,
    cleanup,
    configure,
    confirm,
    mend_all,
    recover_store,
    view_of,
    when_store,
    write,
)  # fmt: skip
from tests.simulation.plan import Fault
from tests.simulation.world import World
from tests.support.malformed import readable

# They lose the knowledge of what was left alone. An operator stops that by hand before (docs/protocol.md,
# *Maintenance*).
FORGETTING = ("store-restored", "store-wiped")


def inject(world: World, fault: Fault) -> None:
    """Have `fault` begin now."""
    world.say("--- %s", fault)
    world.checks.count(f"fault {fault.kind}")
    handler = _FAULTS[fault.kind]
    handler(world, world.nodes.get(fault.node), fault)  # type: ignore[arg-type]


def _crash(world: World, node: SimNode, fault: Fault) -> None:
    if not node.powered:
        return
    node.power_off()
    if fault.value < 0.3:
        world.after(3000 + fault.length, lambda: confirm(world, node.name))
    world.after(4000 + fault.length, node.power_on)


def _kill_daemon(world: World, node: SimNode, fault: Fault) -> None:
    node.kill_daemon()


def _kill_late(world: World, node: SimNode, fault: Fault) -> None:
    """A daemon killed so late that its lease has 0.7-1.0 M of life left after M."""
    daemon = node.daemon
    if daemon is None:
        return
    for way in ("requests", "answers"):
        node.cuts[way] = world.now + 9000
    timing = world.plan.cluster.timing
    left = daemon.state.session.time_left(node.clock()) - timing.stop_budget_ms * (1 + 0.3 * fault.value - 0.15)
    world.after(max(0.0, left), node.kill_daemon)


def _pause_daemon(world: World, node: SimNode, fault: Fault) -> None:
    if node.daemon is None or (node.guard.state is None and world.plan.trusted):
        return  # with its guard dead, nobody could act (as in `kill_guard`): `fencing: lease` assumes that one can
    node.daemon.paused_until = max(node.daemon.paused_until, world.now + fault.length)


def _pause_guard(world: World, node: SimNode, fault: Fault) -> None:
    timing = world.plan.cluster.timing
    limit = (timing.stop_budget_ms - timing.self_fence_lead_ms) * 0.5 if world.plan.trusted else fault.length
    node.guard.paused_until = max(node.guard.paused_until, world.now + min(fault.length, limit))


def _freeze(world: World, node: SimNode, fault: Fault) -> None:
    node.frozen_until = max(node.frozen_until, world.now + fault.length)


def _kill_guard(world: World, node: SimNode, fault: Fault) -> None:
    node.restart_blocked_until = 0.0
    node.kill_guard()


def _cut(world: World, node: SimNode, fault: Fault) -> None:
    for way in {"cut": ("requests", "answers"), "cut-requests": ("requests",), "cut-answers": ("answers",)}[fault.kind]:
        node.cuts[way] = world.now + fault.length


def _deaf(world: World, node: SimNode, fault: Fault) -> None:
    node.watch.dead = True


def _lag(world: World, node: SimNode, fault: Fault) -> None:
    node.watch.lag_until = world.now + fault.length


def _move(world: World, node: SimNode, fault: Fault) -> None:
    spec = world.plan.cluster.exclusive[int(fault.value * 100) % len(world.plan.cluster.exclusive)]
    stored = world.ledger.get(world.keys.group(spec.name))
    if world.store_away() or stored is None:
        return
    try:
        own = Ownership.from_json(stored.value)
    except RecordError:
        return
    to = node.name if fault.value < 0.5 else ""
    text = Move(str(fault.at), to, own.node, own.session_revision, "simulation").to_json()
    write(world, Put(world.keys.move(spec.name), text))


def _move_back(world: World, node: SimNode, fault: Fault) -> None:
    """A request to move that is withdrawn while it is being carried out."""
    _move(world, node, fault)
    keys = [world.keys.move(group.name) for group in world.plan.cluster.exclusive]
    when_store(world, 50 + 600 * fault.value, lambda: write(world, *(Delete(key) for key in keys)))


def _standby(world: World, node: SimNode, fault: Fault) -> None:
    key, end = world.keys.standby(node.name), world.now + fault.length
    if not world.store_away():
        write(world, Put(key, "{}"), wanted=lambda: world.now < end and not world.mended_at)
    when_store(world, fault.length, lambda: write(world, Delete(key)))


def _dies(world: World, node: SimNode, fault: Fault) -> None:
    for name in sorted(world.checks.exclusive_running(node))[:1]:
        node.resources.die(name)


def _terminate(world: World, node: SimNode, fault: Fault) -> None:
    daemon = node.daemon
    node.deliver(daemon, events.Shutdown(True))


def _shutdown_keep(world: World, node: SimNode, fault: Fault) -> None:
    node.deliver(node.daemon, events.Shutdown(False))


def _pause_agent(world: World, node: SimNode, fault: Fault) -> None:
    node.resources.paused_until = world.now + fault.length


def _late_writes(world: World, node: SimNode, fault: Fault) -> None:
    """What it writes of others and of groups lingers on the way, while its own session goes on."""
    node.late_writes_until = world.now + fault.length


def _device(world: World, node: SimNode, fault: Fault) -> None:
    world.devices.disturb(node.name, fault.kind.removeprefix("device-"), fault.length)


def _deaf_agents(world: World, node: SimNode, fault: Fault) -> None:
    """The devices do not answer this node, whichever it is to switch."""
    node.fence_agents.deaf_until = world.now + fault.length


def _between(world: World, node: SimNode, fault: Fault) -> None:
    """Time passes between a decision to use a device and its being carried out."""
    node.fence_agents.between_until = world.now + fault.length


def _fence(world: World, node: SimNode, fault: Fault) -> None:
    """`hactl fence`: the operator has the node fenced, whatever it does."""
    view = view_of(world)
    session = view.sessions.get(node.name)
    if session is None or world.store_away() or not world.plan.devices:
        return
    record = replace(dead(session), deposed_revision=0, wanted="off" if fault.value < 0.2 else "reboot", by="operator")
    keys = world.keys
    compares = (
        Compare(keys.node(node.name), "create", session.create_revision),
        Compare(keys.fence(node.name), "mod", view.mod_of(keys.fence(node.name))),
    )
    world.checks.ordered.add((node.name, session.record.session_id))
    write(world, Delete(keys.node(node.name)), Put(keys.fence(node.name), record.to_json()), compares=compares)


def _readiness(world: World, node: SimNode, fault: Fault) -> None:
    """Something that a group needs is bad on a node, or good again."""
    group = world.plan.cluster.exclusive[int(fault.value * 100) % len(world.plan.cluster.exclusive)]
    node.readiness[group.name] = READINESS[int(fault.value * 1000) % len(READINESS)]
    node.observe(group.name)


def _unseen(world: World, node: SimNode, fault: Fault) -> None:
    """Every node reaches a group as a client does; then some of them do not any more, for a while."""
    group = world.plan.cluster.exclusive[int(fault.value * 100) % len(world.plan.cluster.exclusive)].name

    def say(well: bool) -> None:
        stored = world.ledger.get(world.keys.group(group))
        own = readable(Ownership, stored) if stored is not None else None
        others = [other for other in world.nodes.values() if own is not None and other.name != own.node]
        for number, other in enumerate(others):
            if own is not None and (well or number <= fault.value * 4):
                words = "" if well else "no answer within 0.2 s"
                other.deliver(other.daemon, events.GroupProbed(group, own.epoch, well, words))

    say(True)
    world.after(500, lambda: say(False))
    world.after(500 + fault.length, lambda: say(True))


def _readiness_flaps(world: World, node: SimNode, fault: Fault) -> None:
    """It changes all the time."""
    group, end = world.plan.cluster.exclusive[0].name, world.now + fault.length

    def flap() -> None:
        if world.now < end and not world.mended_at:
            node.readiness[group] = "ready" if node.readiness.get(group) == "poor" else "poor"
            node.observe(group)
            world.after(500 + 4000 * fault.value, flap)

    flap()


def _confirm(world: World, node: SimNode, fault: Fault) -> None:
    """The operator says that the node is off, whatever is being done to it."""
    confirm(world, node.name)


def _untold(world: World, node: SimNode, fault: Fault) -> None:
    """What looks at a group's resources on a node, and stops them, is broken for a while, perhaps while they run."""
    group = world.plan.cluster.exclusive[int(fault.value * 100) % len(world.plan.cluster.exclusive)]
    node.resources.untold_until[group.name] = world.now + fault.length


def _unstoppable(world: World, node: SimNode, fault: Fault) -> None:
    """A group cannot be stopped anywhere, by anybody; one that is to take its node down for that then."""
    group = world.plan.cluster.exclusive[int(fault.value * 100) % len(world.plan.cluster.exclusive)]
    if group.on_stop_failure != "block":
        world.unstoppable[group.name] = world.now + fault.length


def _cleanup(world: World, node: SimNode, fault: Fault) -> None:
    """`hactl group cleanup`, of a group that may still be as bad as it was."""
    group = world.plan.cluster.exclusive[int(fault.value * 100) % len(world.plan.cluster.exclusive)]
    if not world.store_away():
        cleanup(world, group.name)


def _group_stop(world: World, node: SimNode, fault: Fault) -> None:
    """`hactl group stop`, and `start` later."""
    group = world.plan.cluster.exclusive[int(fault.value * 100) % len(world.plan.cluster.exclusive)]
    key, end = world.keys.stopped(group.name), world.now + fault.length
    if not world.store_away():
        write(world, Put(key, Stop("operator").to_json()), wanted=lambda: world.now < end and not world.mended_at)
    when_store(world, fault.length, lambda: write(world, Delete(key)))


def _group_restart(world: World, node: SimNode, fault: Fault) -> None:
    """`hactl group restart`."""
    group = world.plan.cluster.groups[int(fault.value * 100) % len(world.plan.cluster.groups)]
    own = readable(Ownership, world.ledger.get(world.keys.group(group.name)))
    epoch = 0 if group.run == "all" else own.epoch if own is not None else None
    if epoch is not None and not world.store_away():
        write(world, Put(world.keys.restart(group.name), Restart(str(fault.at), epoch, "operator").to_json()))


def _ban(world: World, node: SimNode, fault: Fault) -> None:
    """`hactl group ban --for`: the nodes end it."""
    group = world.plan.cluster.exclusive[int(fault.value * 100) % len(world.plan.cluster.exclusive)]
    until = int(world.wall_ms() + fault.length)
    if not world.store_away():
        write(
            world,
            Put(world.keys.ban(group.name, node.name), Ban("operator", "", until).to_json()),
            wanted=lambda: not world.mended_at,
        )


def _maintenance(world: World, node: SimNode, fault: Fault) -> None:
    """`hactl maintenance`: of a group, a node or everything; a node or an operator ends it."""
    if world.store_away() or any(other.kind in FORGETTING for other in world.plan.faults):
        return
    group = world.plan.cluster.exclusive[int(fault.value * 100) % len(world.plan.cluster.exclusive)]
    if 0.5 <= fault.value < 0.6:
        key = world.keys.node_maintenance(node.name)
    else:
        key = world.keys.maintenance(group.name if fault.value < 0.6 else "*")
    until = int(world.wall_ms() + fault.length) if int(fault.value * 1000) % 2 else 0
    write(world, Put(key, Maintenance("operator", "", until).to_json()), wanted=lambda: not world.mended_at)
    if not until:
        when_store(world, fault.length, lambda: write(world, Delete(key)))


def _slow_stops(world: World, node: SimNode, fault: Fault) -> None:
    node.resources.slow_stops_until = world.now + fault.length


def _away(world: World, node: SimNode, fault: Fault) -> None:
    world.away_until = max(world.away_until, world.now + fault.length)
    start = world.now
    if world.outages and world.outages[-1][1] >= start:
        start = world.outages.pop()[0]
    world.outages.append((start, world.away_until))


def _slow(world: World, node: SimNode, fault: Fault) -> None:
    world.slow_until = world.now + fault.length


def _full(world: World, node: SimNode, fault: Fault) -> None:
    world.full_until = world.now + fault.length


def _compact(world: World, node: SimNode, fault: Fault) -> None:
    if world.ledger.revision > world.compacted + 5:
        world.compacted = world.ledger.revision
        world.ledger.compact(world.ledger.revision)
        for other in world.nodes.values():
            if fault.value < 0.5:
                other.watch.next_revision = min(other.watch.next_revision, world.ledger.revision - 3)
                other.watch.soon()


def _delete_key(world: World, node: SimNode, fault: Fault) -> None:
    keys = world.keys
    # One kind of key a schedule: a group's record and its owner's session lost together leave no trace of it.
    choices = [keys.node(name) for name in world.nodes]
    if world.plan.seed % 2:
        choices = [keys.group(group.name) for group in world.plan.cluster.exclusive]
    key = keys.node(fault.node) if fault.node else choices[int(fault.value * 1000) % len(choices)]
    own = readable(Ownership, world.ledger.get(key)) if "/groups/" in key else None
    if own is not None and own.state == "unmanaged":
        return  # an operator stops it by hand first (docs/protocol.md, *Maintenance*)
    if not world.store_away():
        world.say("    deleted: %s", key)
        write(world, Delete(key))


def _config(world: World, node: SimNode, fault: Fault) -> None:
    """Another lease; or, for a while, a group that is disabled, no devices, or a configuration nobody can read."""
    if world.store_away():
        return
    cluster = world.plan.cluster
    if fault.value < 0.5:
        lease = cluster.timing.lease_ms * (0.9 if fault.value < 0.25 else 1.2)
        configure(world, replace(cluster, timing=replace(cluster.timing, lease_ms=lease)))
        return
    index = int(fault.value * 100) % len(cluster.groups)
    groups = [replace(group, enabled=number != index) for number, group in enumerate(cluster.groups)]
    if fault.value < 0.7:
        configure(world, replace(cluster, groups=tuple(groups)))
    elif fault.value < 0.85:
        configure(world, replace(cluster, fencing=Topology()))
    else:
        configure(world, None)
    when_store(world, fault.length, lambda: configure(world, cluster))


def _restored(world: World, node: SimNode, fault: Fault) -> None:
    """All members are stopped, given the backup and started: the store is away for longer than any lease. A store
    that went back in an instant could deceive a node that was cut off since before the backup."""
    world.away_until = world.restored_at = max(world.away_until, world.now + 16_000)

    def restored() -> None:
        world.ledger.restore(world.saved)
        _after_loss(world, fault)

    world.at(world.away_until - 0.1, restored)


def _wiped(world: World, node: SimNode, fault: Fault) -> None:
    world.ledger.wipe()
    _after_loss(world, fault)


def _after_loss(world: World, fault: Fault) -> None:
    world.checks.history_broken = True
    world.checks.away.clear()
    world.checks.down_for.clear()  # who was blocked is forgotten with the rest
    world.saved = world.ledger.copy()
    world.outages.clear()
    when_store(world, 1000 + fault.length, lambda: recover_store(world))


_FAULTS: dict[str, Callable[[World, SimNode, Fault], None]] = {
    "crash": _crash, "kill-daemon": _kill_daemon, "kill-late": _kill_late, "pause-daemon": _pause_daemon,
    "pause-guard": _pause_guard, "freeze-node": _freeze, "kill-guard": _kill_guard, "cut": _cut,
    "cut-requests": _cut, "cut-answers": _cut, "deaf-watch": _deaf, "lag-watch": _lag, "move": _move,
    "move-back": _move_back, "standby": _standby, "resource-dies": _dies, "terminate": _terminate,
    "shutdown-keep": _shutdown_keep, "pause-agent": _pause_agent, "slow-stops": _slow_stops,
    "late-writes": _late_writes, "device-fails": _device, "device-hangs": _device, "device-lies": _device,
    "device-slow": _device, "device-deaf": _device, "pause-between": _between,
    "deaf-agents": _deaf_agents, "unstoppable": _unstoppable, "untold": _untold, "confirm": _confirm,
    "cleanup": _cleanup, "group-stop": _group_stop, "group-restart": _group_restart, "ban": _ban,
    "maintenance": _maintenance,
    "fence": _fence, "store-away": _away,
    "store-slow": _slow, "store-full": _full, "compact": _compact, "delete-key": _delete_key, "config": _config,
    "clone": clones.boot, "clone-unheard": clones.boot, "disk-restored": clones.restore_disk,
    "store-restored": _restored, "store-wiped": _wiped, "readiness": _readiness, "readiness-flaps": _readiness_flaps,
    "unseen": _unseen,
    "malformed": malform, "malformed-fence": malform, "later-version": write_later,
}  # fmt: skip

__all__ = ["checkpoint", "confirm", "dead", "inject", "json", "limit_ms", "mend_all", "recover_store"]
