"""A node's way through its phases: whose store this is, stop, refuse, begin again, end (docs/protocol.md, *Phases*)."""

from __future__ import annotations

from election.clock import Instant, owner_elapsed, remaining
from election.ownership import session_of
from hactl.decide import phase_table
from hactl.decide.local_group import LocalGroup
from hactl.decide.reading import ReadState
from hactl.decide.state import NodeState, Out
from hactl.model.cluster import GroupSpec
from hactl.model.effects import Exit, Relist
from hactl.model.events import Boot
from hactl.model.resources import runs_alike

# How long a list may take: twice as long after each that failed, up to the longest. There may be very much below the
# prefix that is none of hactl's.
FIRST_LIST_MS, LONGEST_LIST_MS = 500.0, 6_000.0


def check_identity(state: NodeState, out: Out) -> None:
    """Whether this store's history is the one this node belongs to; if not, stop everything and take no part."""
    identity = state.view.identity
    if not state.view.listed:
        return
    if state.held:
        return  # neither ours nor another's: a session that can be renewed goes on, none is begun
    if identity is None:
        text = "the store holds no identity: 'hactl init' for a new cluster, 'hactl recover' for a lost one"
        refuse(state, text, out)
        return
    there = (identity.record.uuid, identity.record.generation)
    mine = state.identity
    if mine is None or (there[1] > mine[1] and state.phase in ("refused", "listing")):
        mine = state.identity = there
        # A list that is on its way was asked for in the old history: what was known then is not what it must reach.
        state.known_revision, state.listing_known = state.view.revision, 0
        out.note("identity_accepted", uuid=there[0], generation=there[1])
    if there != mine:
        text = f"the store is of another history (its generation {there[1]}, known here {mine[1]}): 'hactl recover'"
        refuse(state, text, out)
    elif state.went_back_in == there[1]:
        refuse(state, state.refused, out)
    elif state.phase == "refused":
        begin_again(state)


def went_back(state: NodeState, revision: int, known: int, out: Out) -> bool:
    """Whether an answer is older than what was known before its request was sent: the store was restored."""
    if revision >= known:
        state.known_revision = max(state.known_revision, revision)
        return False
    state.went_back_in = state.generation
    refuse(state, f"the store went back from revision {known} to {revision}: it was restored; 'hactl recover'", out)
    return True


def refuse(state: NodeState, problem: str, out: Out) -> None:
    """Take no part in this store: stop everything exclusive at once. A node that ends has done so."""
    if state.phase == "gone":
        return
    out.note_once("refused", "store_refused", reason=problem)
    state.refused = problem
    if state.phase != "refused":
        phase_table.enter(state, "refused")
        state.forget_store()
        state.need_list = True


def end(state: NodeState, reason: str, out: Out) -> None:
    """The daemon was told to release and go: nothing exclusive runs here any more."""
    state.session.state = "none"
    phase_table.enter(state, "gone")
    out.effects.append(Exit(0, reason))


def begin_again(state: NodeState, *, fast: bool | None = None) -> None:
    """Stop everything exclusive here, then open a new session (or, when told to release, none). `fast`: kill it."""
    phase_table.enter(state, "stopping", fast=fast)
    state.refused = ""
    state.guard_ready = False
    state.noted.pop("refused", None)


def resumable(state: ReadState) -> bool:
    """Whether a guard holds the deadline for what may run here. Without one nothing may go on: it is stopped at
    once, before the store was even asked."""
    guard = state.boot.guard
    return guard.valid_until is not None and not guard.latched


def rests(state: NodeState, run: LocalGroup) -> bool:
    """Whether nobody is to stop what runs of the group here, whatever becomes of the session: it is left alone, by this
    node or by another; then it is not what hactl has started here."""
    known = state.view.groups.get(run.spec.name)
    if known is None or known.record.state != "unmanaged":
        return False
    return known.record.node == state.node or not run.started


def cleared(state: NodeState) -> bool:
    """Whether everything exclusive here is known to be stopped. What hactl never owned, or has left alone, may run
    on."""
    return all(
        run.stopped or run.barred or (run.untouched and not run.acting) or rests(state, run)
        for run in state.runs.values()
    )


def lease_ends(state: NodeState, now: Instant) -> bool:
    """Whether the lease of this node's last session is over in R, or is over: what no guard does any more is the
    daemon's to do then."""
    until = state.session.valid_until
    return until is not None and remaining(until, now) <= state.timing.self_fence_lead_ms


def held_by_guard(boot: Boot, spec: GroupSpec) -> set[str]:
    """The resources of a group that the guard held when this daemon adopted it."""
    return {resource.name for resource in spec.resources if f"{spec.name}/{resource.name}" in boot.guard.exclusive}


def _maybe_started(state: NodeState, name: str) -> bool:
    """Whether a session of this node's that may be of this boot owned or held the group, as the store has it, while no
    guard is left that would know whether it still runs here. Of a group that is left alone no guard knows."""
    observed = state.view.groups.get(name)
    if observed is None or (state.boot.guard.session_id and observed.record.state != "unmanaged"):
        return False
    fence = state.view.fences.get(state.node)
    for holder in observed.record.runners:
        if holder.node != state.node:
            continue
        session = session_of(state.view, holder)
        same = fence is not None and fence.record.session_id == holder.session_id
        booted = session.record.boot_id if session else fence.record.boot_id if same and fence else ""
        if booted in ("", state.boot.boot_id):
            return True
    return False


def list_again(state: NodeState, out: Out) -> None:
    """Ask for a list where one is needed, one at a time, at most each h. A node that waits without a session lists
    now and then: no renewal of its own tells it that its watch is dead, no answer that the store is another one."""
    if state.phase not in ("live", "ending") and state.listed_at is not None:
        state.need_list = state.need_list or owner_elapsed(state.listed_at, out.now) >= state.timing.lease_ms
    if not state.need_list or state.listing:
        return
    if state.listed_at is not None and owner_elapsed(state.listed_at, out.now) < state.timing.heartbeat_ms:
        return
    state.counter += 1
    state.listing, state.listed_at = state.counter, out.now
    state.listing_known = state.known_revision
    longest = max(state.timing.heartbeat_ms * 2, FIRST_LIST_MS)
    out.effects.append(Relist(state.counter, min(longest * 2.0 ** min(state.lists_failed, 10), LONGEST_LIST_MS)))


def _run_alike(one: GroupSpec, other: GroupSpec) -> bool:
    pairs = zip(one.resources, other.resources, strict=False)
    return len(one.resources) == len(other.resources) and all(runs_alike(before, after) for before, after in pairs)


def adjust_runs(state: NodeState) -> None:
    """One run for each group of the configuration, and for each of which something may still be here. A group
    that was started is stopped by the definition it was started with."""
    wanted: dict[str, GroupSpec] = {group.name: group for group in state.cluster.groups} if state.cluster else {}
    for name, spec in wanted.items():
        run = state.runs.get(name)
        if run is None:
            run = state.runs[name] = LocalGroup(spec, untouched=not state.view.mod_of(state.keys.group(name)))
            run.registered, run.leftover = held_by_guard(state.boot, spec), _maybe_started(state, name)
        elif run.spec is spec or run.spec == spec:
            run.outdated = False
        elif _run_alike(run.spec, spec):
            run.spec = spec  # the same resources: only how the group is treated, or watched, has changed
        elif run.stopped and not run.registered:
            run.spec, run.outdated = spec, False
            run.health = {resource.name: "unknown" for resource in spec.resources}
        else:
            run.outdated = True
    gone = [name for name, run in state.runs.items() if name not in wanted and (run.stopped or run.barred)]
    for name in [name for name in gone if not state.runs[name].txn and not state.frozen(name)]:
        if name not in state.view.groups or state.view.groups[name].record.state == "released":
            del state.runs[name]
