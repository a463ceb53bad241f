"""A schedule's plan: the cluster, its timings and the faults, all drawn from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Literal

from hactl.model.cluster import ClusterSpec, GroupSpec, NodeSpec, Timing
from hactl.model.placing import Placing, Relation
from hactl.model.probes import HealthProbe, Rhythm, TcpCheck
from tests.simulation.devices import make_topology
from tests.support.specs import resource_spec

# Times in the simulation are in ms; a heartbeat of 1 s keeps the number of events small.
TIMING = Timing(
    heartbeat_ms=1000,
    suspect_after_ms=4000,
    lease_ms=10_000,
    stop_budget_ms=2_000,
    self_fence_lead_ms=700,
    etcd_election_ms=1500,
)


@dataclass(frozen=True)
class Fault:
    """Something that happens at `at` and, where it lasts, ends `length` later."""

    at: float
    kind: str
    node: str = ""
    length: float = 0.0
    value: float = 0.0

    def __str__(self) -> str:
        text = f"{self.kind} {self.node}".strip()
        return f"{self.at / 1000:8.3f}s {text}" + (f" for {self.length / 1000:.3f}s" if self.length else "")


@dataclass
class Plan:
    """All that a schedule needs. `trusted`: the assumptions of `fencing: lease` hold on every node. `devices`: nodes
    can be switched off; `watchdogs`: a watchdog resets a node at the end of what its guard holds. `broken`: what never
    works, by node and group: its start fails ("start") or hangs ("hang"), it cannot be registered ("register"), or
    nobody can tell its state there ("probe"). `gentle`: nothing happens that could be a reason to stop anything."""

    seed: int
    cluster: ClusterSpec
    faults: list[Fault]
    length: float
    trusted: bool
    rates: dict[str, tuple[float, float]] = field(default_factory=dict)
    loss: float = 0.0
    slow: float = 0.0
    devices: bool = False
    watchdogs: bool = False
    stop_ms: tuple[float, float] = (50.0, 400.0)
    start_ms: tuple[float, float] = (20.0, 300.0)
    disk_ms: float = 5.0
    failing: float = 0.0
    broken: dict[tuple[str, str], str] = field(default_factory=dict)
    gentle: bool = False


NODE_FAULTS = [
    ("crash", 6), ("kill-daemon", 6), ("pause-daemon", 6), ("cut", 5), ("cut-requests", 3), ("cut-answers", 4),
    ("deaf-watch", 4), ("lag-watch", 3), ("kill-guard", 2), ("move", 8), ("move-back", 3), ("standby", 3),
    ("resource-dies", 4), ("terminate", 2), ("pause-agent", 3), ("kill-late", 4), ("slow-stops", 3),
    ("shutdown-keep", 1), ("pause-guard", 2), ("late-writes", 2),
    ("device-fails", 3), ("device-hangs", 2), ("device-lies", 2), ("device-slow", 2), ("pause-between", 2),
    ("fence", 2), ("deaf-agents", 2), ("clone", 4), ("disk-restored", 2), ("readiness", 6), ("readiness-flaps", 2),
    ("unstoppable", 2), ("cleanup", 1), ("untold", 3), ("confirm", 2), ("malformed", 5), ("later-version", 2),
    ("group-stop", 3), ("group-restart", 4), ("ban", 4), ("maintenance", 8),
]  # fmt: skip
STORE_FAULTS = [("store-away", 8), ("store-slow", 6), ("store-full", 2), ("delete-key", 3), ("store-restored", 1),
                ("store-wiped", 1), ("config", 4), ("compact", 1)]  # fmt: skip


@dataclass(frozen=True)
class Focus:
    """Schedules of some kinds of faults and groups alone, to bring out one mistake. None: as chance has it."""

    faults: tuple[str, ...]
    overlap: bool | None = None
    required: bool | None = None
    devices: bool | None = None
    broken: tuple[str, ...] = ()
    self_fence: bool | None = None
    related: bool = False


def make_plan(seed: int, length: float = 74_000.0, focus: Focus | None = None) -> Plan:
    """The plan of a seed. Faults come in swarms: each schedule uses some kinds of them only."""
    rng = random.Random(seed)
    names = [f"n{i + 1}" for i in range(rng.choice([2, 3, 3, 3, 4, 5]))]
    trusted = rng.random() < 0.75 if focus is None else "freeze-node" not in focus.faults
    groups = [_group(rng, f"g{index}", names, trusted, focus) for index in range(rng.choice([1, 1, 2, 3]))]
    if focus is None or focus.related:
        groups = _related(random.Random(seed * 31 + 7), groups, always=focus is not None)
    devices = rng.random() < 0.6
    watchdogs = rng.random() < 0.3
    if focus is not None and focus.devices is not None:
        devices, watchdogs = focus.devices, not focus.devices
    cluster = ClusterSpec(
        "sim",
        tuple(NodeSpec(name, name) for name in names),
        tuple(groups),
        timing=TIMING,
        fencing=make_topology(rng, names, watchdogs, devices),
    )
    plan = Plan(
        seed,
        cluster,
        _faults(rng, names, length, trusted, focus),
        length,
        trusted,
        {name: (rng.uniform(0.99, 1.01), rng.uniform(0.99, 1.01)) for name in names},
        loss=rng.choice([0, 0, 0.02, 0.1]),
        slow=rng.choice([0, 0, 0.05, 0.2]),
        failing=rng.choice([0, 0, 0, 0.1]),
        devices=devices,
        watchdogs=watchdogs,
        broken=_broken(rng, names, groups, focus),
    )
    if plan.broken:
        plan.cluster = replace(cluster, groups=tuple(map(_staying, cluster.groups)))
    return plan


def _group(rng: random.Random, group: str, nodes: list[str], trusted: bool, focus: Focus | None) -> GroupSpec:
    required = (not trusted) or rng.random() < 0.25
    overlap = not required and rng.random() < 0.35
    if focus is not None:
        required = (not trusted) if focus.required is None else focus.required
        overlap = overlap if focus.overlap is None else focus.overlap
    second = "systemd" if int(group.removeprefix("g") or 0) % 2 else "vip"
    resources = tuple(
        resource_spec(f"r{i}", kind, stop_timeout_ms=1500, start_timeout_ms=1500, monitor_timeout_ms=500)
        # Two addresses start together, an address and a unit one after the other.
        for i, kind in zip(range(1 if overlap else rng.choice([1, 2])), ("vip", second), strict=False)
    )
    return GroupSpec(
        group,
        resources,
        "required" if required else "lease",
        tuple(rng.sample(nodes, len(nodes))) if rng.random() < 0.5 else (),
        overlap,
        failure_expiry_ms=15_000,
        on_stop_failure=_on_stop_failure(rng, focus),
    )


def _related(rng: random.Random, groups: list[GroupSpec], *, always: bool) -> list[GroupSpec]:
    """In half of the schedules groups have relations to those before them."""
    if not always and rng.random() < 0.5:
        return groups
    made = groups[:1]
    for group in groups[1:]:
        to = (Relation(rng.choice(made).name, rng.random() < 0.8),)
        kinds = rng.choice([("together_with",), ("apart_from",), ("after",), ("together_with", "after")])
        placing = Placing(**dict.fromkeys(kinds, to), failback=rng.choice(["never", "never", "immediately"]))
        made.append(replace(group, placing=placing))
    return made


def _staying(group: GroupSpec) -> GroupSpec:
    """A group that goes back would take those that run with it to a node where they never run, again and again."""
    return replace(group, placing=replace(group.placing, failback="never"))


def _on_stop_failure(rng: random.Random, focus: Focus | None) -> Literal["block", "self-fence"]:
    drawn = rng.random() < 0.3
    fences = drawn if focus is None or focus.self_fence is None else focus.self_fence
    return "self-fence" if fences else "block"


def _broken(
    rng: random.Random, names: list[str], groups: list[GroupSpec], focus: Focus | None
) -> dict[tuple[str, str], str]:
    """In some schedules each group cannot run on some of the nodes, never on all of them."""
    kinds = ["start", "hang", "register", "probe"] if focus is None else list(focus.broken)
    if not kinds or (focus is None and rng.random() < 0.7):
        return {}
    broken = {}
    for group in groups:
        for name in rng.sample(names, rng.randint(1, len(names) - 1)):
            broken[name, group.name] = rng.choice(kinds)
    return broken


def gentle_plan(seed: int) -> Plan:
    """Malformed documents alone, each repaired before the same node meets the next one: nothing is to stop for them."""
    plan = make_plan(seed, focus=Focus(("malformed", "malformed", "later-version")))
    rng, at, faults = random.Random(seed), 12_000.0, []
    for number in range(6):
        kind = rng.choice(["malformed", "malformed", "later-version"])
        node = plan.cluster.nodes[number % len(plan.cluster.nodes)].name
        faults.append(Fault(at, kind, node, rng.choice([400.0, 4_000.0, 7_000.0, 12_000.0]), rng.random()))
        at += rng.uniform(7_000, 9_000)
    return replace(plan, faults=faults, loss=0.0, slow=0.0, failing=0.0, broken={}, gentle=True)


def failing_plan(seed: int) -> Plan:
    """What is decided after failures, among all other faults: groups that wander are held, clients do not reach them,
    and a node that cannot stop one has itself fenced. Groups have no relations."""
    plan, rng = make_plan(seed), random.Random(seed)
    nodes = [node.name for node in plan.cluster.nodes]
    kinds = ["unseen", "unseen", "resource-dies", "unstoppable", "move"]
    faults = [
        Fault(at, rng.choice(kinds), rng.choice(nodes), rng.choice([500.0, 4_000.0, 15_000.0]), rng.random())
        for at in sorted(rng.uniform(6_000, plan.length * 0.5) for _ in range(12))
    ]
    groups = tuple(map(_failing, plan.cluster.groups))
    cluster = replace(plan.cluster, groups=groups)
    return replace(plan, cluster=cluster, faults=sorted([*plan.faults, *faults], key=lambda fault: fault.at))


def _failing(group: GroupSpec) -> GroupSpec:
    fenced = group.on_stop_failure == "self-fence" and group.fencing == "required"
    return replace(
        group,
        placing=Placing(),
        moves_limit=1,
        probes=(HealthProbe(TcpCheck(80), Rhythm(interval_ms=500, timeout_ms=200)),),
        on_stop_failure="fence" if fenced else group.on_stop_failure,
    )


def _faults(rng: random.Random, names: list[str], length: float, trusted: bool, focus: Focus | None) -> list[Fault]:
    kinds = rng.sample(NODE_FAULTS, rng.randint(2, 6)) + rng.sample(STORE_FAULTS, rng.randint(0, 3))
    if not trusted:
        kinds += [("freeze-node", 6)]
    if focus is not None:
        kinds = [(kind, 1) for kind in focus.faults]
    bag = [kind for kind, weight in kinds for _ in range(weight)]
    store = {kind for kind, _ in STORE_FAULTS}
    faults = []
    at = rng.uniform(6000, 12_000)
    while at < length * 0.7:
        kind = rng.choice(bag)
        long = rng.choice([0.3, 1.5, 4.0, 8.0, 12.0, 20.0]) * 1000 * rng.uniform(0.8, 1.2)
        if kind in ("freeze-node", "pause-daemon", "store-restored", "store-wiped"):
            long = min(long, length * 0.74 - at)
        faults.append(Fault(at, kind, "" if kind in store else rng.choice(names), long, rng.random()))
        at += rng.choice([100, 1000, 5000, 9000]) * rng.uniform(0.2, 1.8)
    return faults
