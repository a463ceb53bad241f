"""The operator of the simulated world, who repairs what needs a hand; and writes that are no daemon's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from election.records import Cleanup, Confirm
from election.recovery import recover
from election.store import Compare, Delete, Put, Snapshot, StoreFullError, Txn
from election.view import View
from hactl.admin.fencing import left_alone_by
from hactl.decide.planned import ALL
from hactl.model.cluster import ClusterSpec
from tests.simulation import clones
from tests.simulation.malformed import VOUCHED_MS, repair_all, vouch
from tests.simulation.world import World


def cleanup(world: World, group: str) -> None:
    """The operator says that what failed is repaired."""
    word, keys = Cleanup(f"at {world.now}", "", "operator"), world.keys
    failures = [Delete(keys.failure(group, name)) for name in world.nodes]
    forgotten = Delete(keys.blocked(group)), Delete(keys.flapping(group)), *failures
    write(world, *forgotten, Put(keys.cleanup(group), word.to_json()))
    world.checks.cleaned(group)


def configure(world: World, spec: ClusterSpec | None) -> None:
    """Put a configuration; None: one that cannot be read. Of those that wait for room the last one counts."""
    world.configurations += 1
    number, operation = world.configurations, Put(world.keys.config, world.config_text(spec))
    write(world, operation, wanted=lambda: world.configurations == number)


def write(
    world: World,
    *operations: Put | Delete,
    compares: tuple[Compare, ...] = (),
    wanted: Callable[[], bool] = lambda: True,
) -> None:
    """A write of the operator's or of nobody's; into a full store again, while it is `wanted`."""
    if not wanted():
        return
    try:
        world.ledger.full = world.now < world.full_until
        world.commit(Txn(compares, operations))
    except StoreFullError:
        world.after(1000, lambda: write(world, *operations, compares=compares, wanted=wanted))


def when_store(world: World, wait: float, call: Callable[[], None]) -> None:
    """`call` after `wait`, or as soon after as the store is there."""

    def check() -> None:
        if world.store_away():
            world.at(world.away_until + 1, check)
        else:
            call()

    world.after(wait, check)


def view_of(world: World) -> View:
    view = View(world.keys)
    view.load(Snapshot(world.ledger.revision, world.ledger.snapshot(world.keys.prefix).items))
    return view


def recover_store(world: World) -> None:
    """`hactl recover`, again until it is done."""
    if world.store_away():
        when_store(world, 1000, lambda: recover_store(world))
        return
    view, cluster = view_of(world), world.plan.cluster
    generations = [
        identity[1] for node in world.nodes.values()
        if (identity := node.daemon.state.identity if node.daemon else node.disk["identity"])
    ]  # fmt: skip
    names = [node.name for node in cluster.nodes]
    txn = recover(
        view,
        f"uuid-{world.now}",
        max([0, *generations]),
        names,
        int(cluster.timing.lease_ms),
        world.config_text(cluster),
    )
    try:
        world.ledger.full = world.now < world.full_until
        done = world.commit(txn).succeeded
    except StoreFullError:
        done = False
    if not done:  # the store is full, or something was written meanwhile
        world.after(1000, lambda: recover_store(world))
        return
    world.checks.history_broken = False
    if world.mended_at:  # what came back is of before
        repair_all(world)
        _as_planned(world)
    world.say("--- operator: recover")
    for name in names:  # the job that had switched a node off is gone with the records of before
        world.after(1000, partial(world.devices.switch_on, name))


def confirm(world: World, name: str) -> None:
    """`hactl fence confirm`: the operator has seen that the node is off."""
    powered = any(node.powered for node in clones.machines(world, name))
    view = view_of(world)
    fence = view.fences.get(name)
    if powered or name in view.sessions or fence is None or world.store_away():
        return
    if fence.record.state == "safe" and not left_alone_by(view, name, fence.record):
        return  # refused
    if fence.record.state == "acting":
        write(world, Put(world.keys.confirm(name), Confirm(fence.record.session_id, "operator").to_json()))
        world.say("--- operator: gives the word about %s", name)
        return
    record = replace(fence.record, state="safe", evidence="confirmed", by="operator")
    key = world.keys.fence(name)
    compares = (Compare(key, "mod", fence.mod_revision), Compare(world.keys.node(name), "create", 0))
    write(world, Put(key, record.to_json()), compares=compares)
    world.say("--- operator: confirmed %s", name)


def mend_all(world: World) -> None:
    """The end of all faults."""
    world.away_until = max(min(world.away_until, world.now), world.restored_at)  # a restore comes to its end
    world.outages = [(start, min(end, world.away_until)) for start, end in world.outages]
    world.slow_until = world.full_until = 0.0
    world.plan.loss = world.plan.slow = world.plan.failing = 0.0
    world.devices.forget()
    clones.remove_all(world)
    world.unstoppable.clear()
    world.mended_at = world.now
    for node in world.nodes.values():
        node.resources.untold_until.clear()
        node.resources.paused_until = node.resources.slow_stops_until = 0.0
        node.fence_agents.between_until = node.fence_agents.deaf_until = 0.0
        node.cuts.clear()
        node.watch.lag_until = node.late_writes_until = 0.0
        for group in world.plan.cluster.exclusive:  # poor everywhere: then it runs all the same
            node.readiness[group.name] = "poor" if world.plan.seed % 3 == 0 else "ready"
            node.observe(group.name)
        if not node.powered:
            node.power_on()
    repair_all(world)
    for name in world.nodes:  # a disk was put back, and the session's key deleted: the status asks for the word
        world.after(VOUCHED_MS, partial(vouch, world, name, 2))
    _as_planned(world)
    world.say("--- all faults are over")


def _as_planned(world: World) -> None:
    """Every node in use, nothing that failed remembered, the plan's configuration."""
    for group in world.plan.cluster.exclusive:
        cleanup(world, group.name)
        write(world, Delete(world.keys.stopped(group.name)))
        write(world, Delete(world.keys.maintenance(group.name)))
    write(world, Delete(world.keys.maintenance(ALL)))
    for name in world.nodes:
        write(world, Delete(world.keys.standby(name)))
        write(world, Delete(world.keys.node_maintenance(name)))
    configure(world, world.plan.cluster)


def checkpoint(world: World) -> None:
    """A backup of the store, now and then."""
    if not world.store_away():
        world.saved = world.ledger.copy()
    world.after(7000, lambda: checkpoint(world))
