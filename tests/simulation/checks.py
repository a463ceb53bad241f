"""The invariants of docs/protocol.md, looked at after every step and every commit, from outside and with true time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from election.records import FenceRecord, Holder, Ownership, Report, Session
from election.store import Delete, KeyValue, Put, Txn
from hactl.decide.state import NodeState
from hactl.model import effects
from hactl.model.notes import KINDS
from tests.simulation import clones
from tests.simulation.checks_readiness import ReadinessChecks
from tests.simulation.checks_relations import RelationChecks
from tests.simulation.instances import InstanceChecks
from tests.support.malformed import readable

if TYPE_CHECKING:
    from tests.simulation.node import SimNode
    from tests.simulation.world import World

SLACK = 1.0  # ms: messages to the guard and rounding


class Violation(Exception):  # noqa: N818 - it is what the simulation looks for
    """An invariant does not hold."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


class Checks:
    """What must hold, and the little history that is needed to tell."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.committed_at: dict[tuple[str, str], tuple[float, float]] = {}
        self.decided: dict[Txn, float] = {}
        self.opened_by: dict[str, tuple[SimNode, int]] = {}
        self.epochs: dict[str, tuple[int, tuple[str, str]]] = {}
        self.written: dict[str, Ownership] = {}
        self.stats: dict[str, int] = {}
        self.history_broken = False
        self.ordered: set[tuple[str, str]] = set()
        self.readiness = ReadinessChecks(self)
        self.relations = RelationChecks(self)
        self.instances = InstanceChecks(self)
        self.registering: dict[tuple[str, str, str], list[float]] = {}
        self.down_for: dict[str, str] = {}
        self.away: set[str] = set()

    def fail(self, name: str, text: str) -> None:
        """An invariant is broken."""
        raise Violation(name, f"{text} (at {self.world.now / 1000:.3f} s)")

    def count(self, event: str) -> None:
        """For the summary: that a schedule did something at all."""
        self.stats[event] = self.stats.get(event, 0) + 1

    # --- effects ------------------------------------------------------------------------------------------

    def started(self, node: SimNode, act: effects.Act, session_id: str) -> None:
        """A resource begins to run, as the session `sid` wanted: S1, S2, S3, G6."""
        self.count("start")
        group = act.group
        if self.is_clone(group):
            self.count("start of an instance")
            return
        others = [
            other.name for other in self.world.nodes.values()
            if other is not node and any(name[0] == group for name in other.resources.running)
        ]  # fmt: skip
        if others and not self._overlapping(group, [*others, node.name]):
            self.fail("S1", f"{group} starts on {node.name} while it runs on {', '.join(others)}")
        holder = (node.name, session_id)
        known, by = self.epochs.get(group, (0, ("", "")))
        # Between a restore and `hactl recover` a node that was cut off since before the backup cannot tell.
        if not self.history_broken and (act.epoch < known or (act.epoch == known and by != holder)):
            self.fail("S3", f"{group} starts on {node.name} with epoch {act.epoch}, after {known} on {by[0]}")
        self.epochs[group] = (act.epoch, holder)
        self.relations.started(node, group)
        self.instances.started(node, act)
        self._in_time(node)

    def acts(self, state: NodeState, node: SimNode, act: effects.Act) -> None:
        """A daemon begins an action: none on a group that it knows to be left alone, but to stop what it has started
        itself where another node has the group (M1)."""
        self.instances.acts(node, act)
        known = state.view.groups.get(act.group)
        if known is not None and known.record.state == "unmanaged":
            self.count(f"{act.action} while left alone")
            own = known.record.node != node.name and state.runs[act.group].started and act.action != "start"
            if act.action != "probe" and not own:
                self.fail("M1", f"{node.name}: {act.action} of {act.group}, which is left alone on {known.record.node}")

    def is_clone(self, group: str) -> bool:
        """Whether the group runs on every node: nothing of it is exclusive."""
        spec = self.world.plan.cluster.group(group)
        return spec is not None and spec.run == "all"

    def exclusive_running(self, node: SimNode) -> set[tuple[str, str]]:
        """The exclusive resources that run on the node."""
        return {name for name in node.resources.running if not self.is_clone(name[0])}

    def _alone(self, node: SimNode, group: str) -> bool:
        """Whether the group is left alone on the node, by the ownership written last."""
        own = self.written.get(group)
        return own is not None and own.state == "unmanaged" and own.node == node.name

    def _overlapping(self, group: str, nodes: list[str]) -> bool:
        """Whether a group may run on these nodes together: an overlap, as its ownership says."""
        spec = self.world.plan.cluster.group(group)
        own = self.written.get(group)
        if spec is None or not spec.overlap or own is None:
            return False
        return own.overlap and set(nodes) <= {own.node, *(holder.node for holder in own.holders)}

    def stopped(self, node: SimNode, name: tuple[str, str]) -> None:
        """A resource is being stopped: U2."""
        if self.world.plan.gentle and name in node.resources.running and not self.world.mended_at:
            self.fail("U2", f"{'/'.join(name)} is stopped on {node.name} for no reason")

    def stepped(self, node: SimNode) -> None:
        """After a daemon's step: G1 and G6."""
        self.relations.stepped()
        state = node.daemon.state  # type: ignore[union-attr]
        session = state.session
        if session.state == "live" and session.valid_until is not None:
            written = self.committed_at.get((node.name, session.session_id))
            if written is not None:
                commit, lease = written
                clock = [offset + rate * commit for offset, rate in zip(node.offsets, node.rates, strict=True)]
                limit = max(a - b for a, b in zip(session.valid_until, clock, strict=True))
                if limit > lease + SLACK:
                    self.fail("G1", f"{node.name} believes its lease valid {limit:.0f} ms after its last renewal")
        self._in_time(node)

    def _in_time(self, node: SimNode) -> None:
        """G6: nothing exclusive runs past its own `valid_until`."""
        guard = node.guard.state
        running = {name for name in self.exclusive_running(node) if not self._alone(node, name[0])}
        if not running or not self.world.plan.trusted or guard is None or guard.valid_until is None:
            return
        until, now = guard.valid_until, node.clock()
        if min(until.boot - now.boot, until.raw - now.raw) < -SLACK and guard.exclusive:
            self.fail("G6", f"{sorted(running)} on {node.name} past valid_until")

    def guard_fired(self, node: SimNode) -> None:
        """The deadline came."""
        self.count("guard fired")

    def shot(self, name: str) -> None:
        """A device switches a node off: S5. Garbage that was written where no session was is none."""
        self.count("shot")
        stored = self._live(name)
        revision, before = self.world.malformed.get(self.world.keys.node(name), (0, None))
        if stored is not None and (stored.mod_revision != revision or before is not None):
            self.fail("S5", f"{name} is switched off while it holds a live session")
        stored = self.world.ledger.get(self.world.keys.fence(name))
        record = readable(FenceRecord, stored)
        if record is None or (record.generation and not self._session_lives(record.executor)):
            return  # begun before `hactl recover`, which knows nothing of why, and ended the executor's session
        if not (record.wanted or self._owns_required(name, record.session_id, record.session_revision)):
            self.fail("S4", f"{name} is fenced without need")

    def self_fenced(self, node: SimNode) -> None:
        """A node took itself down."""
        self.count("self-fence")

    def took_itself_down(self, node: SimNode, group: str) -> None:
        """By its own decision, since a stop failed: once for each group until the operator's cleanup, one after the
        other, and never the last one (F1)."""
        self.count("took itself down")
        if group in self.down_for:
            self.fail("F1", f"{node.name} takes itself down for {group}, after {self.down_for[group]} did")
        if others := self.away - {node.name}:
            self.fail("F1", f"{node.name} takes itself down for {group} while {others} is not back")
        self.down_for[group] = node.name
        self.away.add(node.name)

    def _asks_to_be_fenced(self, node: SimNode, group: str) -> None:
        """For a group one node does so, until the operator's cleanup (F1)."""
        if self.down_for.setdefault(group, node.name) != node.name:
            self.fail("F1", f"{node.name} has itself fenced for {group}, after {self.down_for[group]} had")

    def cleaned(self, group: str) -> None:
        """`hactl group cleanup`."""
        self.away.discard(self.down_for.pop(group, ""))

    def registers(self, node: SimNode, effect: effects.GuardRegister) -> None:
        """Tells the guard what it is about to start; not in a circle (B1)."""
        recent = self.registering.setdefault((node.name, effect.group.name, effect.resource.name), [])
        recent.append(self.world.now)
        del recent[:-10]
        if len(recent) == 10 and recent[-1] - recent[0] < 100.0:
            self.fail(
                "B1", f"{node.name} registers {effect.group.name} ten times within {recent[-1] - recent[0]:.0f} ms"
            )

    def noted(self, node: SimNode, note: effects.Note) -> None:
        """A note of the daemon's: the table of notes has it."""
        self.count(note.event)
        if note.event == "asks_to_be_fenced":
            self._asks_to_be_fenced(node, note.data["group"])
        if note.event not in KINDS:
            self.fail("N1", f"{node.name} notes {note.event}, which the table of notes does not have")

    def sent(self, node: SimNode, send: effects.SendTxn) -> None:
        """A transaction is sent."""
        if send.purpose == "acquire":
            self.readiness.acquires(node, send)
        elif send.purpose == "depose":
            self.decided.setdefault(send.txn, self.world.now)

    # --- commits ------------------------------------------------------------------------------------------

    def committed(self, txn: Txn, before: dict[str, KeyValue | None], node: SimNode | None, revision: int) -> None:
        """A transaction was carried out."""
        keys = self.world.keys
        for operation in txn.success:
            if not isinstance(operation, (Put, Delete)):
                continue
            kind, *names = keys.split(operation.key)
            old = before.get(operation.key)
            if node is None:
                continue
            self._nothing_taken(node, kind, names, old, before)
            if kind == "nodes" and isinstance(operation, Put):
                self._session_written(node, names[0], operation, old)
            elif kind == "nodes":
                self._session_deleted(node, names[0], old, txn)
            elif kind == "fence" and isinstance(operation, Put):
                self._fence_written(FenceRecord.from_json(operation.value), names[0], old)
            elif kind == "groups" and isinstance(operation, Put):
                self._group_written(node, names[0], Ownership.from_json(operation.value), old, txn)
            elif kind == "reports" and isinstance(operation, Put):
                self.readiness.reported(names[0], Report.from_json(operation.value))

    def _nothing_taken(
        self, node: SimNode, kind: str, names: list[str], old: KeyValue | None, before: dict[str, KeyValue | None]
    ) -> None:
        """U1: what cannot be read is taken, deposed or marked by nobody. A node writes its own session anew, and a
        fence record of an earlier session may go with the end of a session that can be read."""
        kinds = {"nodes": Session, "fence": FenceRecord, "groups": Ownership}
        if old is None or kind not in kinds or len(names) != 1 or readable(kinds[kind], old) is not None:
            return
        self.count("over unreadable")
        if kind == "groups" or (kind == "nodes" and node.name != names[0]):
            self.fail("U1", f"{node.name} writes over {old.key}, which cannot be read")
        if kind == "fence" and before.get(self.world.keys.node(names[0])) is None:
            self.fail("U1", f"{node.name} writes over {old.key}, which cannot be read, and there is no session")

    def _session_written(self, node: SimNode, name: str, put: Put, old: KeyValue | None) -> None:
        if old is None and self.world.devices.may_hit(name):
            self.fail("S5", f"{name} opens a session while a device may switch it off")
        if old is None:
            self.away.discard(name)
        record = Session.from_json(put.value)
        self.committed_at[name, record.session_id] = (self.world.now, record.lease_ms)
        if old is None:
            self.opened_by[record.session_id] = (node, node.boots)

    def _session_deleted(self, node: SimNode, name: str, old: KeyValue | None, txn: Txn) -> None:
        if old is None:
            return
        session = readable(Session, old)
        if node.name == name:
            if session is not None:
                self._closed(node, session)
            return
        self.count("depose")
        if self._live(node.name) is None:
            self.fail("G4", f"{node.name} deposes {name} without a live session")
        record, world = Session.from_json(old.value, old.key), self.world
        other = world.nodes[name]
        written = self.committed_at.get((name, record.session_id))
        if written is None:
            return
        commit = written[0]
        passed = min(rate * (world.now - commit) for rate in other.rates)
        limit = self._silence_needed(name, record, old.create_revision)
        if passed < limit - SLACK and not self.history_broken:
            self.fail("G5", f"{node.name} deposes {name} {passed:.0f} ms after its last renewal, not {limit}")
        self._not_for_outage(node, name, commit, record.lease_ms)
        self._guard_heard(node, name, record, passed, self.decided.get(txn, world.now))

    def _closed(self, node: SimNode, record: Session) -> None:
        """G5 of the session in one's own name: a machine that neither opened nor held it in this boot lets its lease
        run out."""
        written = self.committed_at.get((node.name, record.session_id))
        mine = record.session_id in node.held or self.opened_by.get(record.session_id) == (node, node.boots)
        if written is None or mine or self.history_broken:
            return
        passed = min(rate * (self.world.now - written[0]) for rate in node.rates)
        if passed < record.lease_ms - SLACK:
            self.fail("G5", f"a machine called {node.name} closes a session {passed:.0f} ms after its last renewal")

    def _silence_needed(self, name: str, record: Session, session_revision: int) -> float:
        """After how long a session may be deposed: its lease, or on suspicion where the node can be fenced for a
        group that requires it."""
        cluster = self.world.plan.cluster
        if self._owns_required(name, record.session_id, session_revision) and cluster.fencing.of(name).has_device:
            return cluster.timing.suspect_after_ms * 0.98  # by the observer's clock: nothing rests on it
        return record.lease_ms

    def _owns_required(self, name: str, session_id: str, session_revision: int) -> bool:
        """By what the store holds now, since it may have been restored; of a record that was deleted, by what it said:
        it may have been there when what is judged now was decided."""
        world, holder = self.world, Holder(name, session_id, session_revision)
        required = [group.name for group in world.plan.cluster.exclusive if group.fencing == "required"]
        for group in required:
            stored = world.ledger.get(world.keys.group(group))
            own = readable(Ownership, stored) or self.written.get(group)
            if own is not None and holder in (own.holder, *own.holders):
                return True
        return False

    def _guard_heard(self, node: SimNode, name: str, record: Session, passed: float, decided: float) -> None:
        """L2: a node whose guard answers that it holds the deadline is not fenced on suspicion. `decided`: when that
        was written and sent, which may be long before it arrives at the store."""
        other, world = self.world.nodes[name], self.world
        guard = other.guard.state
        if (
            passed >= record.lease_ms - SLACK
            or guard is None
            or guard.session_id != record.session_id
            or guard.phase != "holding"
        ):
            return
        silent = other.cut("answers") or other.guard.paused() or node.cut("requests") or world.plan.loss
        if not silent and self.quiet_since(name, decided) > 2 * world.plan.cluster.timing.heartbeat_ms:
            self.fail("L2", f"{node.name} deposes {name} on suspicion, whose guard would have answered")

    def quiet_since(self, name: str, now: float) -> float:
        """For how long, at `now`, nothing had stood between the node's guard and its peers."""
        ends = [max(node.cuts.values(), default=0.0) for node in self.world.nodes.values()]
        other = self.world.nodes[name]
        return now - max(*ends, other.guard.paused_until, other.frozen_until, self.world.mended_at)

    def _not_for_outage(self, node: SimNode, name: str, commit: float, lease_ms: float) -> None:
        """S4: nobody is deposed for the store's trouble."""
        world = self.world
        timing = world.plan.cluster.timing
        for start, end in world.outages:
            if world.now < start or (end > world.now):
                continue
            long = end - start > 2 * timing.heartbeat_ms + 2 * timing.etcd_election_ms + 2 * timing.heartbeat_ms
            healthy = start - 2 * timing.heartbeat_ms <= commit <= end  # a node silent since is another matter
            if long and healthy and world.now - end < lease_ms * 0.97:
                self.fail("S4", f"{node.name} deposes {name} {world.now - end:.0f} ms after the store's return")

    def _fence_written(self, record: FenceRecord, name: str, old: KeyValue | None) -> None:
        before = readable(FenceRecord, old)
        if before is not None and (before.session_id, before.state) == (record.session_id, "safe"):
            return
        if record.state != "safe" or record.evidence not in ("self-stop", "reboot", "off", "watchdog"):
            return
        machines = clones.machines(self.world, name)
        held = [machine for machine in machines if record.session_id in machine.session_ids] or machines
        owned = {group for other in held for group, _ in self.exclusive_running(other)}
        if record.evidence in ("self-stop", "watchdog"):  # they say nothing of what is left alone
            owned = {group for group in owned if not any(self._alone(other, group) for other in held)}
        if owned:
            self.fail("G3", f"{name} is written safe while {sorted(owned)} runs there")

    def _group_written(self, node: SimNode, name: str, own: Ownership, old: KeyValue | None, txn: Txn) -> None:
        self.written[name] = own
        live = self._live(node.name)
        writer = next((c.revision for c in txn.compares if c.key == self.world.keys.node(node.name)), None)
        if live is None or writer not in (None, live.create_revision):
            self.fail("G7", f"{name} is written by {node.name} without a live session")
        mine = own.node == node.name and own.state != "released"  # an earlier session's may be released for it
        if mine and live is not None and own.session_revision != live.create_revision:
            self.fail("G7", f"{name} is written for a session of {node.name} that is not the live one")
        previous = readable(Ownership, old)
        if own.state == "handoff":
            self.readiness.handed_over(node.name, name, own)
        if own.state == "owned" and own.node == node.name and (previous is None or previous.node != own.node):
            self.count("acquire")
            self.relations.acquired(node, name, previous)
            self.instances.acquired(node, name, own, old.mod_revision if old is not None else 0)
            self._nobody_runs(name, own)

    def _nobody_runs(self, group: str, own: Ownership) -> None:
        """S2: when a group is taken, its last owner is stopped, or goes on as a holder (overlap)."""
        allowed = {own.node, *(holder.node for holder in own.holders)}
        for other in self.world.nodes.values():
            if other.name not in allowed and any(name[0] == group for name in other.resources.running):
                self.fail("S2", f"{group} is taken by {own.node} while it runs on {other.name}")

    def _live(self, name: str) -> KeyValue | None:
        return self.world.ledger.get(self.world.keys.node(name))

    def _session_lives(self, executor: str) -> bool:
        """Of an executor, `node/sid`, as a fence record names it."""
        name, _, session_id = executor.partition("/")
        stored = self._live(name)
        session = readable(Session, stored)
        return stored is not None and (session is None or session.session_id == session_id)

    # --- the end ------------------------------------------------------------------------------------------

    def at_end(self) -> None:
        """L1: with all faults over for long, every group runs on one node, and every daemon sees the others."""
        for node in self.world.nodes.values():
            lag = self.world.ledger.revision - node.daemon.state.view.revision if node.daemon else 0
            if lag > 10 * len(self.world.nodes):
                self.fail("L1", f"{node.name} does not see what happens: {lag} revisions behind")
            if node.daemon is not None and self._live(node.name) is None:
                self.fail("J1", f"{node.name} takes no part: {node.daemon.state.phase}")
        self.instances.at_end()
        possible = self.relations.possible()
        for group in self.world.plan.cluster.exclusive:
            stored = self.world.ledger.get(self.world.keys.group(group.name))
            if stored is not None and (holders := Ownership.from_json(stored.value).holders):
                self.fail("O1", f"the overlap of {group.name} has not come to its end: {holders}")
            broken = self.world.plan.broken
            if not any(n.daemon and (n.name, group.name) not in broken for n in self.world.nodes.values()):
                continue  # the only nodes that could run it were switched off, and left off
            if group.name not in possible:
                continue  # not beside those to which it is related
            wanted = {(group.name, resource.name) for resource in group.resources}
            where = [node.name for node in self.world.nodes.values() if wanted <= node.resources.running]
            part = [node.name for node in self.world.nodes.values() if wanted & node.resources.running]
            if len(where) != 1 or where != part:
                why = {
                    node.name: node.daemon.state.runs[group.name].waiting
                    for node in self.world.nodes.values()
                    if node.daemon and group.name in node.daemon.state.runs
                }
                phases = {n.name: n.daemon.state.phase if n.daemon else "-" for n in self.world.nodes.values()}
                self.fail("L1", f"{group.name} runs on {where} (partly {part}); {why} {phases}")


def report(stats: dict[str, int]) -> str:
    """The counts of many schedules, in a line."""
    return ", ".join(f"{name} {count}" for name, count in sorted(stats.items(), key=lambda entry: -entry[1]))


__all__ = ["Any", "Checks", "Violation", "report"]
