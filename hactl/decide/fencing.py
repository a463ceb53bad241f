"""The job of fencing a node, carried out by one node for all (docs/protocol.md, *Fencing*). Pure.

The fence record of a dead session is the job. Its executor writes `acting` before each action of a device, by
compare-and-swap, and the outcome after it; a node that finds the executor's session gone, and the time of its action
over, takes its place.
"""

from __future__ import annotations

import zlib
from dataclasses import replace

from election.clock import Instant, observer_elapsed, owner_elapsed
from election.observer import limit_ms
from election.reading import ReadView
from election.records import FenceRecord, Holder
from election.store import Compare, Delete, Put, Txn
from election.view import Versioned
from fencing import job
from fencing.topology import NodeFencing
from hactl.decide.state import NodeState, Out, Work
from hactl.decide.suspicion import owns_required
from hactl.model.effects import FenceAct
from hactl.model.events import FenceActed
from hactl.model.purposes import FENCE_WRITES, Purpose

# The margin beyond a lease before a watchdog's node is taken for reset: drivers count in whole seconds.
WATCHDOG_MARGIN_MS = 2_000.0

# How much longer than its agent may run an action counts as under way, in heartbeats: the way to the store and back.
SLACK_HEARTBEATS = 2.0

# An executor that gave a job up leaves it to the others for so long.
GIVEN_UP_MS = 10_000.0

# How long a node that an operator wants switched off waits for that to begin, in leases; then it comes back.
AWAITED_LEASES = 2.0


# --- the record -------------------------------------------------------------------------------------------------


def on_change(state: NodeState, node: str, out: Out) -> None:
    """`fence/<node>` has changed: an executor's time counts from here."""
    fence = state.view.fences.get(node)
    if fence is None:
        state.fence_seen.pop(node, None)
    elif state.fence_seen.get(node, (0, out.now))[0] != fence.mod_revision:
        state.fence_seen[node] = (fence.mod_revision, out.now)


def in_flight(state: NodeState, node: str, fence: Versioned[FenceRecord], now: Instant) -> bool:
    """Whether an action may be under way on the node (S5): its executor lives, or its time is not over."""
    record = fence.record
    if record.state != "acting":
        return False
    if _executor_lives(state, record):
        return True
    seen = state.fence_seen.get(node)
    if seen is None or seen[0] != fence.mod_revision:
        return True
    return observer_elapsed(seen[1], now) < limit_ms(record.action_ms)


def confirmed(view: ReadView, node: str, record: FenceRecord) -> bool:
    """Whether an operator has said that this dead session runs nothing, and that is yet to be written."""
    word = view.confirms.get(node)
    return word is not None and record.state != "safe" and word.record.session_id == record.session_id


def is_executor(state: NodeState, record: FenceRecord) -> bool:
    """Whether I hold the job."""
    return record.executor == _myself(state)


def awaited(state: NodeState, fence: Versioned[FenceRecord], now: Instant) -> bool:
    """Whether this node, alive, is about to be switched off by an operator's word: coming back before another node
    has begun would undo it. The wait has an end: where no device works, the node is not locked out."""
    record, seen = fence.record, state.fence_seen.get(state.node)
    if record.state != "pending" or not record.wanted or record.attempts or seen is None:
        return False
    able = state.topology.of(state.node).has_device and any(name != state.node for name in state.view.sessions)
    return able and owner_elapsed(seen[1], now) < AWAITED_LEASES * state.timing.lease_ms


def _executor_lives(state: NodeState, record: FenceRecord) -> bool:
    node, _, session_id = record.executor.partition("/")
    session = state.view.sessions.get(node)
    return state.view.bad_node(node) is not None or (session is not None and session.record.session_id == session_id)


def _myself(state: NodeState) -> str:
    return f"{state.node}/{state.session.session_id}"


def _wanted(state: NodeState, node: str, record: FenceRecord) -> bool:
    """Whether the node is to be fenced. Not what is unknown since `hactl recover`: everyone may be alive."""
    if record.wanted or record.generation:
        return bool(record.wanted)
    return owns_required(state.view, state.cluster, Holder(node, record.session_id, record.session_revision))


def _mine_to_do(state: NodeState, node: str, fence: Versioned[FenceRecord], now: Instant) -> bool:
    """Whether I hold the job, or may take it: the first of the others at once, each next one a heartbeat later."""
    record = fence.record
    if record.executor == _myself(state):
        return True
    if in_flight(state, node, fence, now) or (record.executor and _executor_lives(state, record)):
        return False
    seen = state.fence_seen.get(node)
    if seen is None or seen[0] != fence.mod_revision:
        return False
    work = state.fencing.get(node)
    if work is not None and work.given_up is not None and owner_elapsed(work.given_up, now) < GIVEN_UP_MS:
        return False
    return observer_elapsed(seen[1], now) >= state.turn_ms


# --- the job ----------------------------------------------------------------------------------------------------


def step_jobs(state: NodeState, out: Out) -> None:
    """Take the next step with every dead node."""
    if state.session.state != "live" or state.cluster is None or state.blind(out.now):
        return
    for node, fence in list(state.view.fences.items()):
        record = fence.record
        if confirmed(state.view, node, record):
            continue  # the operator has said that it is stopped: see confirming.py
        if node == state.node or (record.state == "safe" and record.power != "off"):
            continue
        if record.state == "safe":
            _switch_on(state, node, fence, out)
        elif _by_watchdog(state, node, fence, out):
            continue
        elif _wanted(state, node, record) and state.topology.of(node).has_device:
            _switch_off(state, node, fence, out)
        elif record.state == "acting":
            _let_go(state, node, fence, out)
    idle = [(node, work) for node, work in state.fencing.items() if node != state.node and not work.action]
    for node in [node for node, work in idle if _is_over(state, node, work)]:
        del state.fencing[node]


def _is_over(state: NodeState, node: str, work: Work) -> bool:
    fence = state.view.fences.get(node)
    if fence is None or fence.record.session_id != work.session_id:
        return True
    return fence.record.state == "safe" and not fence.record.power


def _by_watchdog(state: NodeState, node: str, fence: Versioned[FenceRecord], out: Out) -> bool:
    """Whether the node's own watchdog has reset it by now; its record is written safe then."""
    record = fence.record
    fencing = state.topology.of(node)
    if not (fencing.has_watchdog and record.watchdog) or in_flight(state, node, fence, out.now):
        return False
    if not state.observer.dead_over(node, record, out.now, WATCHDOG_MARGIN_MS):
        return False
    safe = replace(record, state="safe", evidence="watchdog", by=state.node, executor="")
    write(state, node, fence, safe, Purpose.FENCE_SAFE, out)
    return True


def _switch_off(state: NodeState, node: str, fence: Versioned[FenceRecord], out: Out) -> None:
    if not _mine_to_do(state, node, fence, out.now):
        return
    record, fencing, work = fence.record, state.topology.of(node), state.fencing.get(node)
    if writing(state, node) or (work is not None and work.action):
        return
    if work is None or not work.is_for(record, "off", fencing) or work.given_up is not None:
        wait = fencing.delay_ms + fencing.random_delay_ms * _chance(record.session_id)
        at_once = bool(record.attempts or record.wanted)  # the operator has waited long enough
        work = Work(record.session_id, job.begin(fencing, 0.0 if at_once else wait, out.now))
        state.fencing[node] = work
    _advance(state, node, fence, work, out)


def _let_go(state: NodeState, node: str, fence: Versioned[FenceRecord], out: Out) -> None:
    """A job has ended before its goal, as nothing requires it any more, no device is left, or the store was recovered:
    nobody is to wait. Mine once no action is under way, another's once none can be."""
    work = state.fencing.get(node)
    mine = fence.record.executor == _myself(state)
    under_way = bool(work and work.action) if mine else in_flight(state, node, fence, out.now)
    if not under_way:
        pending = replace(fence.record, state="pending", executor="", last="not to be fenced any more")
        write(state, node, fence, pending, Purpose.FENCE_FAILED, out)


def _advance(state: NodeState, node: str, fence: Versioned[FenceRecord], work: Work, out: Out) -> None:
    record = fence.record
    match job.next_step(work.job, out.now):
        case job.Switch(_, "status") if record.executor != _myself(state):
            job.abandoned(work.job, "another node took the job meanwhile", out.now)
        case job.Switch(_, "status") as switch:
            act(state, node, work, switch, None, out)
        case job.Switch() as switch if switch.target.device not in state.topology.devices:
            # Nobody has checked what is in the store: a hand, or a later version, has written it.
            problem = f"device '{switch.target.device}' is not configured"
            job.switched(work.job, "status", False, "unknown", problem, out.now)
            out.note_once(f"no-device/{node}", "fence_failed", node=node, reason=problem)
        case job.Switch() as switch:
            _attempt(state, node, fence, work, switch, out)
        case job.Finished():
            safe = replace(
                record,
                state="safe",
                evidence="off",
                by=state.node,
                power="off" if _on_again(record, work.job.fencing) else "",
                level=work.job.level,
                last="",
            )
            write(state, node, fence, safe, Purpose.FENCE_SAFE, out)
        case job.Wait() if record.state == "acting" and record.executor == _myself(state):
            # Nothing is under way: a node that waits for this outcome may go on.
            gives_up = work.job.given_up and len(state.view.sessions) > 1
            pending = replace(
                record,
                state="pending",
                executor="" if gives_up else record.executor,
                failures=max(record.failures, work.job.failures),
                last=work.job.problem,
            )
            write(state, node, fence, pending, Purpose.FENCE_FAILED, out)
            out.note("fence_failed", node=node, reason=work.job.problem, failures=pending.failures, given_up=gives_up)


def _attempt(
    state: NodeState, node: str, fence: Versioned[FenceRecord], work: Work, switch: job.Switch, out: Out
) -> None:
    """Write that a device is about to act; what it does comes after the write's answer."""
    work.switch, record = switch, fence.record
    limit = state.topology.devices[switch.target.device].limit_ms("off")
    action_ms = limit + SLACK_HEARTBEATS * state.timing.heartbeat_ms
    acting = replace(
        record,
        state="acting",
        executor=_myself(state),
        attempts=record.attempts + 1,
        action_ms=int(action_ms),
        failures=max(record.failures, work.job.failures),
        last=work.job.problem or record.last,
    )
    if write(state, node, fence, acting, Purpose.FENCE_ATTEMPT, out):
        work.until = out.now.plus(int(action_ms))


def _on_again(record: FenceRecord, fencing: NodeFencing) -> bool:
    return (record.wanted or fencing.action) == "reboot"


def _switch_on(state: NodeState, node: str, fence: Versioned[FenceRecord], out: Out) -> None:
    """The second half of a reboot. Nothing waits for it, and it does no harm to a node that is on already."""
    record, fencing = fence.record, state.topology.of(node)
    if not _mine_to_do(state, node, fence, out.now):
        return
    no_device = record.level >= len(fencing.levels) or not fencing.levels[record.level].targets
    if no_device or node in state.view.sessions:  # it is on already, by whatever hand
        write(state, node, fence, replace(record, power="", executor=""), Purpose.FENCE_ON, out)
        return
    work = state.fencing.get(node)
    if writing(state, node) or (work is not None and work.action):
        return
    if work is None or not work.is_for(record, "on", fencing):
        work = state.fencing[node] = Work(record.session_id, job.switch_on(fencing, record.level, out.now))
    match job.next_step(work.job, out.now):
        case job.Switch() as switch:
            act(state, node, work, switch, None, out)
        case job.Finished():
            write(state, node, fence, replace(record, power="", executor=""), Purpose.FENCE_ON, out)
            out.note("fence_on", node=node)


def act(state: NodeState, node: str, work: Work, switch: job.Switch, until: Instant | None, out: Out) -> None:
    """Have a device carry out `switch`; see FenceAct for `until`."""
    device = state.topology.devices.get(switch.target.device)
    if device is None:  # the configuration has changed since the attempt was written
        job.abandoned(work.job, f"device '{switch.target.device}' is not configured any more", out.now)
        return
    state.counter += 1
    work.action, work.switch = state.counter, switch
    timeout_ms = device.limit_ms(switch.action)
    out.effects.append(FenceAct(state.counter, node, switch.target, switch.action, timeout_ms, until))
    out.note("fence_action", node=node, device=device.name, plug=switch.target.plug, action=switch.action)


def on_write(state: NodeState, node: str, purpose: Purpose, succeeded: bool, out: Out) -> None:
    """A write of mine to the record was answered, or (not `succeeded`) nobody knows or somebody else was first: then
    it is looked at anew. An action begins only if the write before it is now the record."""
    work, fence = state.fencing.get(node), state.view.fences.get(node)
    if work is None or fence is None:
        return
    if purpose is Purpose.FENCE_ATTEMPT:
        until, work.until = work.until, None
        if succeeded and until is not None and work.switch is not None:
            act(state, node, work, work.switch, until, out)
    elif succeeded and work.job.given_up and not fence.record.executor:
        work.given_up = out.now


def acted(state: NodeState, event: FenceActed, out: Out) -> None:
    """A device action has ended."""
    for node, work in state.fencing.items():
        if work.action == event.id and work.switch is not None:
            switch, work.action = work.switch, 0
            answer = {"ok": event.ok, "power": event.power, "detail": event.detail}
            out.note("fence_acted", node=node, device=switch.target.device, action=switch.action, **answer)
            job.switched(work.job, switch.action, event.ok, event.power, event.detail, out.now)
            return


def writing(state: NodeState, node: str) -> bool:
    """Whether a write of mine to the record is under way."""
    return state.sending(*FENCE_WRITES, name=node)


def write(
    state: NodeState,
    node: str,
    fence: Versioned[FenceRecord],
    record: FenceRecord,
    purpose: Purpose,
    out: Out,
    *also: Delete,
) -> bool:
    """Write the record anew, if it still is the one looked at and the node has no session. False: a write of mine is
    under way already."""
    if writing(state, node):
        return False
    keys = state.keys
    compares = [Compare(keys.fence(node), "mod", fence.mod_revision)]
    if record.state != "safe" or fence.record.state != "safe":
        compares.append(Compare(keys.node(node), "create", 0))
    txn = Txn(
        state.writer.guarded(*compares),
        (Put(keys.fence(node), record.to_json()), *also),
        state.writer.reads(keys.fence(node), keys.node(node)),
    )
    if record.state == "safe" and fence.record.state != "safe":
        out.note("fence_safe", node=node, evidence=record.evidence)
    out.send(purpose, txn, name=node)
    return True


def _chance(session_id: str) -> float:
    """A number from 0 to 1 that is the same wherever it is drawn for a session."""
    return zlib.crc32(session_id.encode()) / 2**32
