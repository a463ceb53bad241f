"""Taking a group and bringing it up on this node (docs/protocol.md, *Ownership*). Pure."""

from __future__ import annotations

from election import ownership
from election.records import Ownership
from election.store import Compare
from election.view import Versioned
from hactl.decide import announcing, beside, ordering
from hactl.decide.local_group import LocalGroup
from hactl.decide.resources import bring_down, first_down, may_go_on, settle
from hactl.decide.state import NodeState, Out
from hactl.decide.together import begins_next
from hactl.model.effects import GuardRegister
from hactl.model.purposes import Purpose
from hactl.model.resources import ResourceSpec


def send_acquire(
    state: NodeState,
    run: LocalGroup,
    observed: Versioned[Ownership] | None,
    purpose: Purpose,
    reason: str,
    out: Out,
    also: tuple[Compare, ...] = (),
    cleanup: tuple[str, ...] = (),
) -> None:
    """Write myself as owner; what the answer allows is in `run.granted`."""
    name = run.spec.name
    epoch = ownership.epoch_for(observed, state.me, state.generation, read_revision(state, name))
    txn = ownership.acquire(
        state.writer,
        name,
        observed,
        epoch,
        state.config_seen,  # also where it cannot be read: then what was decided on is the last one that could
        overlap=run.spec.overlap,
        reason=reason,
        also=(*also, *beside.compares(state, name)),
        cleanup=cleanup,
    )
    run.txn = out.send(purpose, txn, name=name, epoch=epoch)
    if observed is not None and observed.record.state == "owned" and observed.record.node != state.node:
        announcing.taking(state, run, observed.record.node, out)


def bring_up(state: NodeState, run: LocalGroup, observed: Versioned[Ownership] | None, out: Out) -> None:
    """Bring everything of it up, in order; what comes after a resource that is down is stopped first. `observed`: None
    where it cannot be read, and what I last wrote counts."""
    epoch = observed.record.epoch if observed else run.granted
    if not may_go_on(run, out):
        return
    if run.barred:
        bring_down(run, out, kill=True)
        return
    first = first_down(run)
    if first is None:
        # Found running, or taken again after its record was lost: it runs in this ownership now.
        run.epoch = epoch
        register_running(state, run, out)
        settle(state, run, out)
        return
    run.since_running = None
    waiting = ordering.waits_for(state, run, out.now) if first == 0 else ""
    beginning = begins_next(run, first, out)
    if not beginning:
        return
    run.waiting = waiting or run.waiting
    if waiting or run.txn or not state.may_run(out.now):
        return
    if observed and epoch != run.granted:
        send_acquire(state, run, observed, Purpose.RECLAIM, observed.record.reason, out)
        return
    if run.registering and run.begin_failed:
        return  # it is tried again when all have answered
    run.begin_failed = False
    if _register(state, run, [run.spec.resources[index] for index in beginning], out):
        run.epoch = epoch
        for index in beginning:
            out.act(run, index, "start")


def _register(state: NodeState, run: LocalGroup, resources: list[ResourceSpec], out: Out) -> bool:
    """Have the guard hold what is about to start. Whether it holds all of it."""
    missing = [resource for resource in resources if resource.name not in run.registered]
    for resource in missing:
        if resource.name not in run.registering and state.guard_ready:
            run.registering.add(resource.name)
            out.effects.append(GuardRegister(run.spec, resource))
    return not missing


def register_running(state: NodeState, run: LocalGroup, out: Out) -> bool:
    """Have the guard hold what runs here though hactl did not start it, or let go of it. Whether it holds all of it."""
    running = [resource for resource in run.spec.resources if run.health.get(resource.name) == "running"]
    if not state.may_run(out.now):
        return all(resource.name in run.registered for resource in running)
    return _register(state, run, running, out)


def read_revision(state: NodeState, group: str) -> int:
    """As of which revision the group's key is known; a transaction may have read it later than the watch told."""
    return max(state.view.revision, state.view.as_of(state.keys.group(group)))
