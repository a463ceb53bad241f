"""What the commands of a transcript do. Operators' actions are the product's own (hactl.admin)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from election.keys import Keys
from election.observer import limit_ms
from election.store import Delete, KeyValue, Put, Snapshot, Txn, TxnResult
from election.view import View
from hactl.admin import identity, requests
from hactl.admin.actions import Context, Left, carry_out
from hactl.admin.errors import RefusedError
from hactl.model import events
from hactl.model.cluster import ClusterSpec
from tests.simulation import clones
from tests.simulation.checks import Violation
from tests.simulation.faults import inject
from tests.simulation.operator import configure, mend_all
from tests.simulation.plan import Fault
from tests.transcripts.cluster import NAME, Description
from tests.transcripts.prose import Prose, wrapped
from tests.transcripts.world import NEVER, ReadableNode, ReadableWorld

# Nodes are started one after the other, so that they do not all do the same at the same time.
APART_MS = 80.0
WELL_MS = 4_000.0
LOOK_MS = 2_000.0
LONGEST_MS = 90_000.0
OPERATOR = "anna"


class Ledger:
    """The simulated store as operators' actions use it."""

    def __init__(self, world: ReadableWorld) -> None:
        self.world = world

    def get(self, key: str, *, timeout_s: float) -> tuple[KeyValue | None, int]:
        return self.world.ledger.get(key), self.world.ledger.revision

    def txn(self, txn: Txn, *, timeout_s: float) -> TxnResult:
        return self.world.commit(txn)


class Play:
    """One transcript being played."""

    def __init__(self) -> None:
        self.description = Description()
        self.prose = Prose(Keys.of(NAME))
        self.started: ReadableWorld | None = None
        self.cluster: ClusterSpec | None = None
        self.answers: list[str] = []

    @property
    def world(self) -> ReadableWorld:
        """The world; the first command that needs it begins it."""
        if self.started is None:
            self.started = ReadableWorld(self.description.spec(), self.prose)
            self.prose.origin = 0.0
            self.cluster = self.started.plan.cluster
        return self.started

    def do(self, command: str) -> list[str]:
        """Carry out a command; what happened."""
        for pattern, action in COMMANDS:
            if (match := pattern.fullmatch(command)) is not None:
                action(self, **match.groupdict())
                answers, self.answers = self.answers, []
                return [line for answer in answers for line in wrapped(" " * 12, answer)] + self.prose.take()
        raise ValueError(f"no such command: {command}")

    def node(self, name: str) -> ReadableNode:
        node = self.world.nodes[f"{name[:-1]}/clone" if name.endswith("'") else name]
        assert isinstance(node, ReadableNode)
        return node

    @property
    def view(self) -> View:
        world, view = self.world, View(self.prose.keys)
        view.load(Snapshot(world.ledger.revision, world.ledger.snapshot(world.keys.prefix).items))
        return view

    def operate(self, request: requests.Request[Any], left: Left | None = None) -> None:
        """An operator's action; a refusal is its answer."""
        node = getattr(request, "node", "")
        context = Context(self.store, self.view, self.cluster, OPERATOR, {node: left} if left else {})
        try:
            carry_out(context, request)
        except RefusedError as refusal:
            self.answers.append(str(refusal))

    @property
    def store(self) -> Any:
        return Ledger(self.world)

    def finish(self) -> None:
        """All faults are over; in the end everything runs, as the simulation demands."""
        world = self.world
        self.prose.origin = None
        for node in world.nodes.values():
            node.restart_blocked_until = 0.0
            if node.daemon is None and node.powered:
                node.start_daemon(0.0)
        world.away_until = world.now
        world.plan.broken.clear()
        mend_all(world)
        end = world.now + LONGEST_MS
        while True:
            world.run_until(world.now + LOOK_MS)
            try:
                world.checks.at_end()
            except Violation:
                if world.now >= end:
                    raise
            else:
                return


Action = Callable[..., None]
COMMANDS: list[tuple[re.Pattern[str], Action]] = []


def command(pattern: str) -> Callable[[Action], Action]:
    """The function carries out commands of this form; its parameters are the pattern's names."""

    def register(action: Action) -> Action:
        COMMANDS.append((re.compile(pattern), action))
        return action

    return register


# --- the cluster ----------------------------------------------------------------------------------------------


@command(r"nodes (?P<words>.+)")
def _nodes(play: Play, words: str) -> None:
    play.description.node(words)


@command(r"group (?P<name>\w+): (?P<words>.+)")
def _group(play: Play, name: str, words: str) -> None:
    play.description.group(name, words)


@command(r"fencing: (?P<words>.+)")
def _fencing(play: Play, words: str) -> None:
    play.description.fencing(words)


@command(r"all is well")
def _all_is_well(play: Play) -> None:
    """Every machine boots and every group runs. Time is shown from then on: 10 ms after n1 has renewed."""
    world = play.world
    play.prose.origin = None
    _boot(play, ", ".join(world.nodes))
    world.run_until(WELL_MS)
    first = next(iter(world.nodes.values())).daemon
    assert first is not None
    renewed = first.state.session.renewed_at
    while first.state.session.renewed_at == renewed:
        world.run_until(world.now + 1)
    world.run_until(world.now + 10)
    world.checks.at_end()
    play.prose.origin = world.now
    for group in world.plan.cluster.groups:
        owner = next(
            node.name for node in world.nodes.values() if any(name[0] == group.name for name in node.resources.running)
        )
        play.answers.append(f"{owner} runs {group.name}")


# --- time and power -------------------------------------------------------------------------------------------


@command(r"after (?P<seconds>[\d.]+) s")
def _after(play: Play, seconds: str) -> None:
    play.world.run_until(play.world.now + 1000 * float(seconds))


@command(r"boot (?P<names>\w+(?:, \w+)*)")
def _boot(play: Play, names: str) -> None:
    for number, name in enumerate(names.split(", ")):
        play.world.after(number * APART_MS, play.node(name).power_on)


@command(r"power off (?P<name>\S+)")
def _power_off(play: Play, name: str) -> None:
    play.node(name).power_off()


@command(r"power on (?P<name>\S+)")
def _power_on(play: Play, name: str) -> None:
    play.node(name).power_on()


@command(r"(?P<name>\S+) freezes for (?P<seconds>[\d.]+) s")
def _freeze(play: Play, name: str, seconds: str) -> None:
    play.world.plan.trusted = False
    play.node(name).frozen_until = play.world.now + 1000 * float(seconds)


@command(r"kill the daemon of (?P<name>\S+)")
def _kill_daemon(play: Play, name: str) -> None:
    play.node(name).kill_daemon()


@command(r"kill the daemon of (?P<name>\S+), and again whenever it starts")
def _keep_killing(play: Play, name: str) -> None:
    play.node(name).restart_blocked_until = NEVER
    play.node(name).kill_daemon()


@command(r"the daemon of (?P<name>\S+) hangs for (?P<seconds>[\d.]+) s")
def _hang(play: Play, name: str, seconds: str) -> None:
    daemon = play.node(name).daemon
    assert daemon is not None
    daemon.paused_until = play.world.now + 1000 * float(seconds)


@command(r"kill the guard of (?P<name>\S+)")
def _kill_guard(play: Play, name: str) -> None:
    play.node(name).kill_guard()


@command(r"systemctl stop hactl on (?P<name>\S+)(?P<keep>, with on_sigterm = \"keep\")?")
def _stop(play: Play, name: str, keep: str | None) -> None:
    node = play.node(name)
    node.deliver(node.daemon, events.Shutdown(not keep))


@command(r"systemctl start hactl on (?P<name>\S+)")
def _start(play: Play, name: str) -> None:
    node = play.node(name)
    node.restart_blocked_until = 0.0
    node.start_daemon(0.0)


# --- the network and etcd -------------------------------------------------------------------------------------


@command(r"cut (?P<name>\S+) off the network")
def _cut(play: Play, name: str) -> None:
    play.node(name).cuts = {"requests": NEVER, "answers": NEVER}


@command(r"answers to (?P<name>\S+) are lost")
def _answers_lost(play: Play, name: str) -> None:
    play.node(name).cuts = {"answers": NEVER}


@command(r"requests of (?P<name>\S+) are lost")
def _requests_lost(play: Play, name: str) -> None:
    play.node(name).cuts = {"requests": NEVER}


@command(r"the network of (?P<name>\S+) is back")
def _network_back(play: Play, name: str) -> None:
    play.node(name).cuts = {}


@command(r"the watch of (?P<name>\S+) goes deaf")
def _deaf(play: Play, name: str) -> None:
    play.node(name).watch.dead = True


@command(r"etcd goes away")
def _away(play: Play) -> None:
    play.world.away_until = NEVER
    play.world.outages.append((play.world.now, NEVER))


@command(r"etcd is back")
def _back(play: Play) -> None:
    play.world.away_until = play.world.now
    play.world.outages[-1] = (play.world.outages[-1][0], play.world.now)


@command(r"etcd is full")
def _full(play: Play) -> None:
    play.world.full_until = NEVER


@command(r"etcd has room again")
def _room(play: Play) -> None:
    play.world.full_until = 0.0


@command(r"back up etcd")
def _backup(play: Play) -> None:
    play.world.saved = play.world.ledger.copy()


@command(r"restore etcd from the backup")
def _restore(play: Play) -> None:
    play.world.checks.history_broken = True
    play.world.ledger.restore(play.world.saved)


@command(r"wipe etcd")
def _wipe(play: Play) -> None:
    play.world.checks.history_broken = True
    play.world.ledger.wipe()


@command(r"etcdctl put (?P<key>\S+) (?P<text>.+)")
def _put(play: Play, key: str, text: str) -> None:
    world = play.world
    before = world.ledger.get(world.keys.prefix + key)
    revision = world.commit(Txn((), (Put(world.keys.prefix + key, text),))).revision
    world.malformed.setdefault(world.keys.prefix + key, (revision, before))


@command(r"etcdctl del (?P<key>\S+)")
def _del(play: Play, key: str) -> None:
    play.world.commit(Txn((), (Delete(play.world.keys.prefix + key),)))
    play.world.malformed.pop(play.world.keys.prefix + key, None)


@command(r"put back what was in (?P<key>\S+)")
def _put_back(play: Play, key: str) -> None:
    _, before = play.world.malformed.pop(play.world.keys.prefix + key)
    assert before is not None
    play.world.commit(Txn((), (Put(before.key, before.value),)))


# --- resources, devices, other machines -----------------------------------------------------------------------


@command(r"(?P<group>\w+)/(?P<resource>\w+) dies on (?P<name>\S+)")
def _dies(play: Play, group: str, resource: str, name: str) -> None:
    node = play.node(name)
    node.tell(f"{group}/{resource} dies")
    node.resources.die((group, resource))


@command(r"(?P<group>\w+) cannot be started on (?P<name>\S+)")
def _cannot_start(play: Play, group: str, name: str) -> None:
    play.world.plan.broken[name, group] = "start"


@command(r"a start of (?P<group>\w+) on (?P<name>\S+) hangs")
def _start_hangs(play: Play, group: str, name: str) -> None:
    play.world.plan.broken[name, group] = "hang"


@command(r"(?P<group>\w+) cannot be registered on (?P<name>\S+)")
def _cannot_register(play: Play, group: str, name: str) -> None:
    play.world.plan.broken[name, group] = "register"


@command(r"nobody can tell whether (?P<group>\w+) runs on (?P<name>\S+)")
def _cannot_tell(play: Play, group: str, name: str) -> None:
    play.world.plan.broken[name, group] = "probe"


@command(r"(?P<group>\w+) works again on (?P<name>\S+)")
def _works(play: Play, group: str, name: str) -> None:
    play.world.plan.broken.pop((name, group), None)
    play.world.unstoppable.pop(group, None)


@command(r"(?P<group>\w+) cannot be stopped")
def _cannot_stop(play: Play, group: str) -> None:
    play.world.unstoppable[group] = NEVER


@command(r"(?P<name>\S+) becomes (?P<level>ready|poor|unfit) for (?P<group>\w+)")
def _readiness(play: Play, name: str, level: events.ReadinessLevel, group: str) -> None:
    node = play.node(name)
    node.readiness[group] = level
    node.observe(group)


@command(r"(?P<device>\S+) (?P<mode>does not answer|fails)")
def _device(play: Play, device: str, mode: str) -> None:
    play.world.devices.disturb(device, "fails" if mode == "fails" else "deaf", NEVER)


@command(r"(?P<device>\S+) answers again")
def _device_answers(play: Play, device: str) -> None:
    play.world.devices.modes.pop(device)


@command(r"boot a copy of the disk of (?P<name>\S+)(?P<other>, on other hardware)?")
def _clone(play: Play, name: str, other: str | None) -> None:
    inject(play.world, Fault(play.world.now, "clone", name, NEVER, 0.1 if other else 0.4))


@command(r"power off the copy of (?P<name>\S+)")
def _remove_clone(play: Play, name: str) -> None:
    clones.remove(play.world, f"{name}/clone")


# --- the operator ---------------------------------------------------------------------------------------------


@command(r"hactl failover (?P<group>\w+)(?: --to (?P<to>\S+))?")
def _failover(play: Play, group: str, to: str | None) -> None:
    play.operate(requests.Failover(group, to or ""))


@command(r"hactl node standby (?P<name>\S+)")
def _standby(play: Play, name: str) -> None:
    play.operate(requests.Standby(name))


@command(r"hactl node online (?P<name>\S+)")
def _online(play: Play, name: str) -> None:
    play.operate(requests.Online(name))


@command(r"hactl fence confirm (?P<name>\S+)")
def _confirm(play: Play, name: str) -> None:
    fence = play.view.fences.get(name)
    left = 0.0
    if fence is not None:  # as the daemon that is asked would count it
        left = max(
            limit_ms(fence.record.lease_ms) - node.clock().boot + seen.since.boot
            for node in play.world.nodes.values()
            if node.daemon and (seen := node.daemon.state.observer.dead.get(name))
        )
    play.operate(requests.Confirm(name), Left(left))


@command(r"hactl fence (?P<name>\S+)(?P<off> --off)?")
def _fence(play: Play, name: str, off: str | None) -> None:
    view = play.view
    if name in view.sessions:
        play.world.checks.ordered.add((name, view.sessions[name].record.session_id))
    play.operate(requests.Fence(name, "off" if off else "reboot"))


@command(r"hactl group cleanup (?P<group>\w+)")
def _cleanup(play: Play, group: str) -> None:
    play.operate(requests.Cleanup(group, ""))
    play.world.checks.cleaned(group)


@command(r"hactl recover")
def _recover(play: Play) -> None:
    world = play.world
    known = max(node.daemon.state.generation for node in world.nodes.values() if node.daemon)
    names = [node.name for node in world.plan.cluster.nodes]
    document = world.config_text(play.cluster)
    identity.recover(play.store, play.view, known, names, world.plan.cluster.timing.lease_ms, document)
    world.checks.history_broken = False


@command(r"hactl config apply, with (?P<group>\w+): enabled (?P<enabled>true|false)")
def _enabled(play: Play, group: str, enabled: str) -> None:
    assert play.cluster is not None
    groups = tuple(
        replace(spec, enabled=enabled == "true") if spec.name == group else spec for spec in play.cluster.groups
    )
    play.cluster = replace(play.cluster, groups=groups)
    configure(play.world, play.cluster)


@command(r"hactl config apply, with something that no daemon can read")
def _unreadable(play: Play) -> None:
    configure(play.world, None)
