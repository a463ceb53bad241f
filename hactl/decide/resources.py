"""A group's resources on this node: brought down, looked at, failing, forgotten. Pure."""

from __future__ import annotations

from election.clock import owner_elapsed
from election.records import Failure
from election.store import Put, Txn
from hactl.decide import blocking, outside, promotion, wandering
from hactl.decide.client_reports import unseen_because
from hactl.decide.local_group import LocalGroup
from hactl.decide.readiness import OwnReadiness
from hactl.decide.state import NodeState, Out
from hactl.decide.together import stop_next, up
from hactl.model.effects import GuardUnregister
from hactl.model.events import Acted, Observed
from hactl.model.purposes import Purpose

# Waits between restarts of a failing resource: none before the first, then doubling, in ms.
FIRST_RETRY_MS = 500.0
LONGEST_RETRY_MS = 30_000.0
STOP_RETRY_MS = 1_000.0


def bring_down(run: LocalGroup, out: Out, *, kill: bool) -> bool:
    """Bring everything of it down: all at once by the fast way, or in reverse order. Whether something was begun."""
    before = len(out.effects)
    if run.barred and not run.acting:
        look_again(run, out)
    elif kill:
        _kill_all(run, out)
    elif not run.acting and not (run.stop_failed and run.retry_at and owner_elapsed(run.retry_at, out.now) < 0):
        probe_unknown(run, out)
        if not run.acting:
            _stop_last(run, out)
    return len(out.effects) > before


def _kill_all(run: LocalGroup, out: Out) -> None:
    due = run.retry_at is None or owner_elapsed(run.retry_at, out.now) >= 0 or not run.stop_failed
    for index, resource in enumerate(run.spec.resources):
        acting = run.acting.get(resource.name)
        if run.health.get(resource.name) == "stopped" and acting is None:
            continue
        if (acting is None or acting[1] != "kill") and due:
            out.act(run, index, "kill")


def _stop_last(run: LocalGroup, out: Out) -> None:
    """The last one that is not stopped; by the fast way where stopping failed, and where hactl did not start it."""
    for index in stop_next(run, up(run, range(len(run.spec.resources)))):
        failed_here = not run.started and run.health[run.spec.resources[index].name] == "failed"
        out.act(run, index, "kill" if run.stop_failed or failed_here else "stop")


def bar(state: NodeState, run: LocalGroup, out: Out) -> None:
    """A resource that was not started here is not well: it counts as stopped, and the group may not come here."""
    for name, health in run.health.items():
        if health == "failed":
            run.stop_failed = _of(name, run.words.get(name) or "it is not well")
            _tell_readiness(state, run, name)
    _look_later(run, out)


def look_again(run: LocalGroup, out: Out) -> None:
    """Its state could not be told: look again, with growing waits, rather than stop what was not started here."""
    if run.retry_at is None or owner_elapsed(run.retry_at, out.now) >= 0:
        for resource in run.spec.resources:
            if run.health.get(resource.name) == "failed":
                run.health[resource.name] = "unknown"
        probe_unknown(run, out)


def probe_unknown(run: LocalGroup, out: Out) -> None:
    """Find out the health of what is not known."""
    for index, resource in enumerate(run.spec.resources):
        if run.health.setdefault(resource.name, "unknown") == "unknown" and resource.name not in run.acting:
            out.act(run, index, "probe")


def may_go_on(run: LocalGroup, out: Out) -> bool:
    """Whether the next step up can be taken: all is known, nothing is under way, and no wait after a failure is on."""
    probe_unknown(run, out)
    return not run.acting and (run.retry_at is None or owner_elapsed(run.retry_at, out.now) >= 0)


def first_down(run: LocalGroup) -> int | None:
    """The first of its resources that does not run; None: all do."""
    resources = enumerate(run.spec.resources)
    return next((index for index, resource in resources if run.health[resource.name] != "running"), None)


def forget_unstarted(run: LocalGroup, out: Out) -> None:
    """Take from the guard what it acknowledged so late that it is not going to be started any more."""
    if run.granted and not run.outdated:
        return
    for name in [name for name in run.registered if run.health.get(name) == "stopped" and name not in run.acting]:
        _forget_started(run, name, out)


def settle(state: NodeState, run: LocalGroup, out: Out) -> None:
    """Everything runs: note it once, and forget failures after a quiet time."""
    if run.since_running is None:
        run.since_running = out.now
        out.note("group_running", group=run.spec.name, epoch=run.granted or run.epoch)
    if run.spec.probes and unseen_because(state.view, run.spec.name):
        return  # it runs, and its clients do not reach it
    if run.restarts and owner_elapsed(run.since_running, out.now) >= run.spec.failure_expiry_ms:
        run.restarts, run.failure = 0, ""
    wandering.calm(state, run, out)


def acted(state: NodeState, run: LocalGroup, name: str, event: Acted, out: Out) -> None:
    """An action on resource `name` has ended; an action that was replaced by another is not listened to."""
    promotion.scored(run, name, event)
    _, action = run.acting.pop(name)
    run.health[name] = event.health
    if event.detail:
        run.words[name] = f"{action}: {event.detail}" if not event.ok else event.detail
    group = run.spec.name
    if action == "start":
        run.unregistered = False
        if event.ok:
            out.note("resource_started", group=group, resource=name, epoch=run.epoch)
        else:
            run.health[name] = "failed"
            _not_begun(state, run, name, event.detail, out)
    elif action in ("stop", "kill"):
        if event.ok and event.health == "stopped":
            _is_well(run, name)
            if outside.tells(run, name):
                out.note("resource_stopped", group=group, resource=name, by=action)
            outside.stopped(run, name, out)
        else:
            _stop_failed(state, run, name, action, event.detail, out)
    elif run.barred and run.health[name] == "failed":
        run.stop_failed = _of(name, event.detail or "its state is unknown")
        _look_later(run, out)
    elif run.stop_failed and "failed" not in run.health.values():
        _is_well(run, name)  # it is known again
    _tell_readiness(state, run, name)
    if run.stopped:
        run.leftover = False
    if run.health[name] == "stopped" and name in run.registered:
        _forget_started(run, name, out)


def _forget_started(run: LocalGroup, name: str, out: Out) -> None:
    """It is known to be stopped. The guard knows of none that runs on every node."""
    run.registered.discard(name)
    if run.spec.run == "one":
        out.effects.append(GuardUnregister(run.spec.name, name))


def observed(state: NodeState, run: LocalGroup, event: Observed, out: Out) -> bool:
    """A monitor or an event showed the health of a resource on which nothing is under way; whether that is news."""
    outside.observed(run, event, out)
    name, health, detail = event.resource, event.health, event.detail
    before = run.health.get(name, "unknown")
    news = bool(event.put_right or event.warned is not None or (detail and run.words.get(name) != detail))
    if detail:
        run.words[name] = detail
    if name in run.acting or before in ("unknown", health):
        return news
    if before == "running" and health in ("failed", "stopped"):
        run.health[name] = health
        failed(state, run, name, detail or health, out)
    elif before == "failed" and health == "stopped":
        run.health[name] = health
    elif before == "failed" and health == "running" and run.started and not run.stop_failed:
        run.health[name] = health  # it was to be restarted after a wait
        out.note("resource_recovered", group=run.spec.name, resource=name)
    elif before == "stopped":
        run.health[name] = "failed" if health == "failed" else "running"
        outside.appeared(state, run, event, out)
    return True


def failed(state: NodeState, run: LocalGroup, name: str, reason: str, out: Out) -> None:
    """Count a failure: restarted in place at first, with growing waits; beyond `restarts` the group moves. It leaves
    all the same when the daemon releases everything, and what it needs here may be going down, too: that says nothing
    of this node."""
    if state.release_on_exit:
        out.note("resource_ended", group=run.spec.name, resource=name, reason=reason)
        return
    if state.role(run.spec.name) == "unmanaged":
        out.note("resource_failed", group=run.spec.name, resource=name, reason=f"{reason} (maintenance)", failures=0)
        return
    run.restarts += 1
    run.failure, run.failing = reason, name
    wait = 0.0 if run.restarts == 1 else min(FIRST_RETRY_MS * 2.0 ** (run.restarts - 2), LONGEST_RETRY_MS)
    held = wandering.held(state, run.spec.name)
    run.retry_at = out.now.plus(LONGEST_RETRY_MS if held else wait)
    out.note("resource_failed", group=run.spec.name, resource=name, reason=reason, failures=run.restarts)
    if run.spec.run == "all" and run.restarts == run.spec.restarts + 1:
        out.note("instance_given_up", group=run.spec.name, resource=name, reason=reason)
    if run.restarts > run.spec.restarts and state.role(run.spec.name) == "owner" and not held:
        write = note_failure(state, run, reason)
        out.send(Purpose.FAILURE, Txn(state.writer.guarded(), (write,), state.writer.reads(write.key)))


def note_failure(state: NodeState, run: LocalGroup, reason: str) -> Put:
    """Keep the group off this node for a while: for `reason`, of the resource that is not running."""
    name = run.failing or run.spec.resources[0].name
    record = Failure(max(1, run.restarts), name, (run.failure or reason)[:300], unregistered=run.unregistered)
    return Put(state.keys.failure(run.spec.name, state.node), record.to_json())


def registered(state: NodeState, run: LocalGroup, name: str, ok: bool, problem: str, out: Out) -> None:
    """The guard has acknowledged a resource, or it could not be registered: that is a start that failed."""
    run.registering.discard(name)
    if ok:
        run.registered.add(name)
    elif _runs_here(state, run) and state.may_run(out.now):
        run.unregistered = True
        _not_begun(state, run, name, problem, out)
    elif state.role(run.spec.name) == "unmanaged":
        run.waiting, run.retry_at = f"the guard does not take {name}: {problem}", out.now.plus(STOP_RETRY_MS)


def _not_begun(state: NodeState, run: LocalGroup, name: str, why: str, out: Out) -> None:
    """A start failed. Of several that were to start together the first one counts: what one lacks, all of them lack."""
    reason = f"start failed: {why}"
    if run.begin_failed:
        out.note("resource_failed", group=run.spec.name, resource=name, reason=reason, failures=run.restarts)
    else:
        failed(state, run, name, reason, out)
    run.begin_failed = bool(run.registering or run.acting)


def _runs_here(state: NodeState, run: LocalGroup) -> bool:
    """Whether it is this node that runs the group: by its record, or, where that cannot be read, as it was granted."""
    return bool(run.granted) if state.frozen(run.spec.name) else state.role(run.spec.name) == "owner"


def clean_up(state: NodeState, run: LocalGroup, out: Out) -> None:
    """Forget what failed here when the operator says that it is repaired: everything is tried again at once."""
    cleanup = state.view.cleanups.get(run.spec.name)
    if cleanup is None or cleanup.record.id == run.cleaned:
        return
    run.cleaned = cleanup.record.id
    if cleanup.record.node in ("", state.node) and (run.restarts or run.stop_failed or run.retry_at):
        run.restarts, run.failure, run.retry_at = 0, "", None
        out.note("group_cleaned_up", group=run.spec.name, by=cleanup.record.by)


def _stop_failed(state: NodeState, run: LocalGroup, name: str, action: str, detail: str, out: Out) -> None:
    """A stop that fails is escalated to a kill; a kill that fails is tried again, in the open."""
    first = not run.stop_failed
    if not run.started:
        action = "kill"  # nothing of hactl's is to be ended in order here
    before = f"; before that: {run.failure}" if run.failure else ""
    run.stop_failed = _of(name, detail or "still running") + before
    run.health[name] = "failed"
    run.retry_at = out.now if action == "stop" else out.now.plus(STOP_RETRY_MS)
    if run.barred:
        _look_later(run, out)
    out.note("stop_failed", group=run.spec.name, resource=name, action=action, reason=detail)
    if action == "kill" and first is False and run.started and run.spec.on_stop_failure != "block":
        blocking.block(state, run, name, detail, out)


def _is_well(run: LocalGroup, name: str) -> None:
    """The state of this resource is known, or it could be stopped. Another one, which stopped at the same time, may be
    the one that cannot."""
    stuck, _, _ = run.stop_failed.partition(": ")
    if stuck in ("", name) or run.health.get(stuck) != "failed":
        run.stop_failed, run.retry_at, run.retries = "", None, 0


def _of(name: str, words: str) -> str:
    """Words about a resource, with its name."""
    return words if words.startswith(f"{name}: ") else f"{name}: {words}"


def _look_later(run: LocalGroup, out: Out) -> None:
    run.retries += 1
    run.retry_at = out.now.plus(min(STOP_RETRY_MS * 2.0 ** (run.retries - 1), LONGEST_RETRY_MS))


def _tell_readiness(state: NodeState, run: LocalGroup, name: str) -> None:
    """While the state of a resource here cannot be told, its group may not come here (see `LocalGroup.barred`)."""
    source, own = f"resource/{name}", state.readiness.get(run.spec.name)
    if run.barred and run.health.get(name) == "failed":
        own = state.readiness.setdefault(run.spec.name, own or OwnReadiness())
        own.post(source, "unfit", f"its state here cannot be told: {run.stop_failed}")
    elif own is not None and run.health.get(name) != "unknown":
        own.post(source, "ready", "")
