"""Groups that run on every node (docs/clones.md): the instance of this node. Pure.

An instance is nobody's to own: it has no record in the store, no lease, and the guard does not know of it. So the end
of a session, etcd's absence and a dead guard leave it running; what fails is restarted in place, again and again. The
other nodes see it by this node's report.
"""

from __future__ import annotations

from hactl.decide import ordering, outside, phases, planned, rolling_restart, unmanaged
from hactl.decide.local_group import LocalGroup
from hactl.decide.placement.instances import not_here
from hactl.decide.resources import (
    bring_down,
    clean_up,
    first_down,
    may_go_on,
    probe_unknown,
    settle,
)
from hactl.decide.state import NodeState, Out
from hactl.decide.together import begins_next
from hactl.model.cluster import GroupSpec
from hactl.model.effects import KeepStarted

# In these phases it is not known what operators want, or nothing is to be done for it any more.
_UNKNOWING = ("listing", "refused", "gone")


def adjust(state: NodeState) -> None:
    """An instance for each clone that runs on this node, and for each of which something may still be here."""
    if state.cluster is None:
        return
    wanted: dict[str, GroupSpec] = {clone.name: clone for clone in state.cluster.clones}
    for name, spec in wanted.items():
        run = state.clones.get(name)
        if run is not None:
            phases.adopt_definition(run, spec)
        elif name not in state.runs and not _not_here(state, spec):
            state.clones[name] = LocalGroup(spec)
    for name, run in list(state.clones.items()):
        settled = (run.stopped or run.barred) and not run.started
        if settled and (name not in wanted or _never_here(state, run.spec)):
            del state.clones[name]


def step(state: NodeState, run: LocalGroup, out: Out) -> None:
    """Take the next step for one instance."""
    clean_up(state, run, out)
    if reason := _resting(state, run):
        unmanaged.watch_nothing(run, out)
        unmanaged.look_now_and_then(run, out)
        run.waiting = reason
    elif _ran_before(state, run):
        _bring_up(state, run, out)
    elif state.cluster is None or not state.view.listed or state.phase in _UNKNOWING:
        probe_unknown(run, out)
    else:
        if run.alone:
            unmanaged.look_after(run, out)
            run.health = dict.fromkeys(run.health, "unknown")
            run.restarts, run.failure, run.retry_at = 0, "", None
        _aim(state, run, out)
    outside.expire(run, out)


def _ran_before(state: NodeState, run: LocalGroup) -> bool:
    """Whether a daemon that begins while etcd is away, and knows no configuration yet, goes on with what one before it
    ran since this machine booted: the guard may have killed it, with what was promoted of it."""
    unknown = state.cluster is None and state.phase == "listing"
    return unknown and state.boot.same_boot and any(spec.name == run.spec.name for spec in state.boot.leftovers)


def _resting(state: NodeState, run: LocalGroup) -> str:
    """Why nothing is to be done with it; empty: no maintenance is asked for, of it or of its node."""
    alone = planned.in_maintenance(state.view, state.node)
    return planned.resting(state.view, run.spec.name) or ("left alone (maintenance of its node)" if alone else "")


def _aim(state: NodeState, run: LocalGroup, out: Out) -> None:
    """Bring it up, or down where it is not to run here."""
    away = _away(state, run)
    if away or rolling_restart.goes_down(state, run, out):
        first = "" if run.stopped else ordering.goes_first(state, run, out.now)
        run.waiting = f"{first}, which needs it, stops first" if first else away or _restarted_for(run)
        if first:
            probe_unknown(run, out)
        else:
            bring_down(run, out, kill=False)
        return
    run.leaving_since = None
    run.waiting = ordering.must_stop(state, run, out.now)
    if run.waiting and not run.stopped:
        probe_unknown(run, out)
        bring_down(run, out, kill=False)
    else:
        _bring_up(state, run, out)


def _restarted_for(run: LocalGroup) -> str:
    return "its configuration has changed" if run.outdated else "it is restarted"


def _away(state: NodeState, run: LocalGroup) -> str:
    """Why it is not to run here; empty: it is."""
    assert state.cluster is not None
    clone = state.cluster.group(run.spec.name)
    if state.release_on_exit:
        return "the daemon ends"
    if clone is None or clone.run != "all":
        return "taken out of the configuration"
    return _not_here(state, clone)


def _not_here(state: NodeState, clone: GroupSpec) -> str:
    places = state.plan().places(clone.name) if clone.enabled else None
    return not_here(clone, state.node, places, state.view)


def _never_here(state: NodeState, clone: GroupSpec) -> bool:
    """Whether the configuration has no instance on this node."""
    return clone.enabled and any(name == state.node for name, _ in state.plan().places(clone.name).excluded)


def _bring_up(state: NodeState, run: LocalGroup, out: Out) -> None:
    if not may_go_on(run, out):
        return
    if run.barred:
        bring_down(run, out, kill=True)
        return
    first = first_down(run)
    if first is None:
        run.waiting = ""
        settle(state, run, out)
        return
    run.since_running = None
    waiting = ordering.waits_for(state, run, out.now) if first == 0 else ""
    beginning = begins_next(run, first, out)
    run.waiting = waiting or run.waiting
    if waiting or not beginning:
        return
    run.begin_failed = False
    for index in beginning:
        if (name := run.spec.resources[index].name) not in run.registered:
            run.registered.add(name)
            out.effects.append(KeepStarted(run.spec))
        out.act(run, index, "start")


def given_up(run: LocalGroup) -> bool:
    """Whether it has failed so often that nothing is to rely on it here: it is tried again all the same."""
    return bool(run.failure) and run.restarts > run.spec.restarts and not run.running


def all_down(state: NodeState) -> bool:
    """Whether nothing of any clone is known to run here."""
    return all(run.stopped or run.barred for run in state.clones.values())
