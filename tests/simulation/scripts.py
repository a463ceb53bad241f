"""Schedules that are written out, for mistakes that chance brings out too rarely. The seed still draws delays and
clocks."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Literal

from fencing.topology import Device, Level, NodeFencing, Target, Topology
from hactl.model.cluster import ClusterSpec, GroupSpec, NodeSpec
from tests.simulation.devices import STATUS_TIMEOUT_MS, TIMEOUT_MS
from tests.simulation.plan import TIMING, Fault, Plan
from tests.support.specs import resource_spec

NAMES = ("n1", "n2", "n3")


def late_acquire(seed: int) -> Plan:
    """n1, the only node that may run the group, asks for it again; what it sends lingers, and meanwhile its session
    ends and another one begins."""
    return _plan(
        seed,
        [
            Fault(9_000, "standby", "n1", 4_000),
            Fault(12_900, "late-writes", "n1", 15_000),
            Fault(13_400, "delete-key", "n1"),
        ],
    )


def late_depose(seed: int) -> Plan:
    """n1 is dead; what n2 sends to depose it lingers until n2's own session has ended while it stands still."""
    return _plan(
        seed,
        [
            Fault(9_000, "crash", "n1", 40_000, 1.0),
            Fault(10_000, "late-writes", "n2", 25_000),
            Fault(20_500, "pause-daemon", "n2", 12_000),
            Fault(20_600, "delete-key", "n2"),
        ],
    )


def back_during_action(seed: int) -> Plan:
    """n1 loses power; while the devices that are to switch it off hang, it comes back. It opens when its lease is over:
    an action takes so long that one is under way then."""
    faults = [Fault(8_900, "device-deaf", "n1", 40_000), Fault(9_000, "crash", "n1", 0, 1.0)]
    return _fenced(seed, faults, timeout_ms=8_000)


def back_before_attempt(seed: int) -> Plan:
    """n1 is back between two attempts to fence it, while the next one lingers."""
    return _fenced(
        seed,
        [
            Fault(8_900, "device-deaf", "n1", 8_000),
            Fault(9_000, "crash", "n1", 4_000, 1.0),
            Fault(14_000, "late-writes", "n2", 20_000),
            Fault(14_000, "late-writes", "n3", 20_000),
        ],
    )


def between_claim_and_device(seed: int) -> Plan:
    """n2 stands still between its word that it is going to fence n1 and the device, for longer than its session."""
    return _fenced(
        seed,
        [
            Fault(9_000, "crash", "n1", 0, 1.0),
            Fault(12_000, "pause-between", "n2", 22_000),
            Fault(13_600, "cut", "n2", 30_000),
        ],
    )


def executor_hangs(seed: int) -> Plan:
    """n1 is to be fenced; its device does not answer n2, which begins, and would answer n3."""
    return _fenced(
        seed,
        [Fault(8_900, "deaf-agents", "n2", 40_000), Fault(9_000, "crash", "n1", 20_000, 1.0)],
        timeout_ms=8_000,
    )


def confirmed_during_action(seed: int) -> Plan:
    """n1 lost its power, and its device hangs; the operator says so in the middle of an attempt, and switches it on."""
    said = random.Random(seed).uniform(21_500, 24_500)
    return _fenced(
        seed,
        [
            Fault(8_900, "device-hangs", "n1", 60_000),
            Fault(9_000, "crash", "n1", said - 9_000 - 3_500, 1.0),
            Fault(said, "confirm", "n1"),
        ],
        timeout_ms=8_000,
    )


def asked_late(seed: int) -> Plan:
    """n1's daemon stands still, its guard does not; so does n2 for a moment, just when it would ask that guard."""
    silent = random.Random(seed).uniform(1_600, 3_000)
    return _fenced(
        seed,
        [
            Fault(9_000, "pause-daemon", "n1", 7_000),
            Fault(9_000 + silent, "pause-daemon", "n2", 1_400),
        ],
    )


def renewal_seen_after_the_outage(seed: int) -> Plan:
    """n1 renews once more before the store is away, and loses its power meanwhile; n2 and n3, which do not reach the
    store just then, see that renewal only in a list after the store's return, when they have renewed themselves."""
    return _fenced(
        seed,
        [
            *(Fault(12_000, kind, name, 2_000) for name in ("n2", "n3") for kind in ("deaf-watch", "cut-requests")),
            Fault(13_000, "store-away", "", 15_000),
            Fault(14_000, "crash", "n1", 40_000, 1.0),
        ],
    )


def watchdog_and_dead_device(seed: int) -> Plan:
    """n1 stands still; its device does not answer, its watchdog bites when its lease is over."""
    return _fenced(
        seed, [Fault(8_900, "device-deaf", "n1", 60_000), Fault(9_000, "freeze-node", "n1", 45_000)], watchdog=True
    )


def copy_of_a_frozen_node(seed: int) -> Plan:
    """n1 stands still with what it runs; a copy of its disk is booted. Whoever asks for n1's address is answered."""
    return _frozen(seed, [Fault(9_000, "freeze-node", "n1", 35_000), Fault(9_300, "clone", "n1", 30_000, 0.5)])


def copy_that_saw_it_live(seed: int) -> Plan:
    """A copy of n1's disk is booted while n1 lives; then n1 stands still, and nobody hears it."""
    return _frozen(seed, [Fault(8_000, "clone-unheard", "n1", 40_000, 0.5), Fault(16_000, "freeze-node", "n1", 30_000)])


def copy_on_other_hardware(seed: int) -> Plan:
    """n1 stands still with what it runs, and nobody hears it; a copy of its disk is booted on other hardware."""
    return _frozen(seed, [Fault(9_000, "freeze-node", "n1", 35_000), Fault(9_300, "clone-unheard", "n1", 30_000, 0.1)])


def copy_of_a_node_cut_off(seed: int) -> Plan:
    """n1 is cut off from the store, and nobody hears it; a copy of its disk is booted, which is not."""
    return _plan(seed, [Fault(9_000, "cut", "n1", 30_000), Fault(9_100, "clone-unheard", "n1", 30_000, 0.5)])


def session_deleted_beside_a_copy(seed: int) -> Plan:
    """n1 is cut off from the store, and nobody hears it; a copy of its disk waits until its lease is over, when a hand
    deletes its session."""
    cut = [Fault(9_000, "cut", "n1", 30_000), Fault(9_100, "clone-unheard", "n1", 30_000, 0.5)]
    return _plan(seed, [*cut, Fault(10_500, "delete-key", "n1")], ("n1",))


def two_cannot_be_stopped(seed: int) -> Plan:
    """n1 and n2 are told to let a group each go, and neither can be stopped by anybody."""
    plan = _plan(
        seed,
        [
            *(Fault(8_900, "unstoppable", "n3", 25_000, index / 100) for index in (0, 1)),
            *(Fault(9_000, "move", "n3", 0, index / 100) for index in (0, 1)),
        ],
        NAMES,
    )
    (group,) = plan.cluster.exclusive
    nodes = (("n1", "n3"), ("n2", "n3"))
    groups = tuple(
        replace(group, name=f"g{index}", nodes=nodes[index], on_stop_failure="self-fence") for index in (0, 1)
    )
    return replace(plan, cluster=replace(plan.cluster, groups=groups))


def cannot_be_stopped_and_fenced(seed: int) -> Plan:
    """The group is told to leave n1, and can be stopped by nobody; then it is told to leave the next one, too."""
    faults = [Fault(8_900, "unstoppable", "n3", 45_000)]
    plan = _fenced(seed, [*faults, *(Fault(at, "move", "n3", 0, 0.0) for at in (9_000, 30_000))])
    (group,) = plan.cluster.exclusive
    group = replace(group, nodes=NAMES, on_stop_failure="fence")
    return replace(plan, cluster=replace(plan.cluster, groups=(group,)))


def left_alone_and_cut_off(seed: int) -> Plan:
    """n1 has left its group alone, and is cut off from the store; the maintenance ends, n1's lease did long ago.
    The group runs on n1 all the while."""
    faults = [Fault(8_000, "maintenance", "n1", 14_000, 0.101), Fault(9_500, "cut", "n1", 40_000)]
    plan = _plan(seed, faults)
    groups = tuple(replace(group, nodes=NAMES[:2]) for group in plan.cluster.exclusive)
    return replace(plan, cluster=replace(plan.cluster, groups=groups))


def _frozen(seed: int, faults: list[Fault]) -> Plan:
    return replace(_plan(seed, faults, fencing="required"), trusted=False)


def fence_record_unreadable(seed: int) -> Plan:
    """n1 stands still with a group that requires fencing, and is deposed; then nobody can read its fence record."""
    faults = [Fault(9_000, "freeze-node", "n1", 40_000), Fault(26_000, "malformed-fence", "n1", 10_000)]
    plan = _plan(seed, faults, NAMES, "required")
    groups = tuple(replace(group, nodes=()) for group in plan.cluster.exclusive)
    return replace(plan, cluster=replace(plan.cluster, groups=groups), trusted=False)


def _fenced(seed: int, faults: list[Fault], watchdog: bool = False, timeout_ms: float = TIMEOUT_MS) -> Plan:
    """Three nodes, a group that n1 runs first and that requires fencing, a device for each node."""
    plan = _plan(seed, faults, ("n1", "n2", "n3"), "required")
    devices = {f"bmc-{name}": Device(f"bmc-{name}", "simulated", {}, timeout_ms, STATUS_TIMEOUT_MS) for name in NAMES}
    last = (Level(watchdog=True),) if watchdog else ()
    nodes = {name: NodeFencing((Level((Target(f"bmc-{name}"),)), *last)) for name in NAMES}
    cluster = replace(plan.cluster, fencing=Topology(devices, nodes))
    return replace(plan, cluster=cluster, trusted=False, devices=True, watchdogs=watchdog)


def moved_since_the_backup(seed: int) -> Plan:
    """The group has moved to n2 since the backup that is restored, which says that another node has it. n2 stands still
    all the while, and nobody knows what runs there."""
    moves = [Fault(at, "move", name, 100, 0.0) for at, name in ((6_000, "n2"), (8_500, "n1"), (11_000, "n2"))]
    lost = [Fault(15_000, "freeze-node", "n2", 40_000), Fault(15_100, "store-restored", "", 100)]
    plan = _plan(seed, [*moves, *lost], NAMES, "required")
    group = replace(plan.cluster.exclusive[0], nodes=NAMES)
    return replace(plan, cluster=replace(plan.cluster, groups=(group,)), trusted=False)


def _plan(
    seed: int,
    faults: list[Fault],
    names: tuple[str, ...] = ("n1", "n2"),
    fencing: Literal["lease", "required"] = "lease",
) -> Plan:
    rng = random.Random(seed)
    resource = resource_spec("r0", "vip", stop_timeout_ms=1500, start_timeout_ms=1500, monitor_timeout_ms=500)
    cluster = ClusterSpec(
        "sim",
        tuple(NodeSpec(name, name) for name in names),
        (GroupSpec("g0", (resource,), fencing, ("n1",), failure_expiry_ms=15_000),),
        timing=TIMING,
    )
    rates = {name: (rng.uniform(0.99, 1.01), rng.uniform(0.99, 1.01)) for name in names}
    return Plan(seed, cluster, faults, 74_000.0, True, rates)
