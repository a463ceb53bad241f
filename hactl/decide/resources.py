"""What runs here of a group, resource by resource: brought down, looked at, failing, forgotten. Pure."""

from __future__ import annotations

from election.clock import owner_elapsed
from election.records import Failure
from election.store import Delete, Put, Txn
from hactl.decide import outside
from hactl.decide.state import NodeState, Out, Run
from hactl.model.effects import GuardUnregister, SelfFence
from hactl.model.events import Acted, Observed

# Waits between restarts of a failing resource: none before the first, then doubling, in ms.
FIRST_RETRY_MS = 500.0
LONGEST_RETRY_MS = 30_000.0
STOP_RETRY_MS = 1_000.0


def clear(run: Run, out: Out, *, kill: bool) -> None:
    """Bring everything of it down: all at once by the fast way, or in reverse order."""
    resources = run.spec.resources
    if kill:
        due = run.retry_at is None or owner_elapsed(run.retry_at, out.now) >= 0 or not run.stop_failed
        for index, item in enumerate(resources):
            acting = run.acting.get(item.name)
            if run.health.get(item.name) == "stopped" and acting is None:
                continue
            if (acting is None or acting[1] != "kill") and due:
                out.act(run, index, "kill")
        return
    if run.acting:
        return
    if run.stop_failed and run.retry_at is not None and owner_elapsed(run.retry_at, out.now) < 0:
        return
    probe_unknown(run, out)
    if run.acting:
        return
    for index in range(len(resources) - 1, -1, -1):
        if run.health[resources[index].name] != "stopped":
            out.act(run, index, "kill" if run.stop_failed else "stop")
            return


def probe_unknown(run: Run, out: Out) -> None:
    """Find out the health of what is not known."""
    for index, item in enumerate(run.spec.resources):
        if run.health.setdefault(item.name, "unknown") == "unknown" and item.name not in run.acting:
            out.act(run, index, "probe")


def forget_unstarted(run: Run, out: Out) -> None:
    """Take from the guard what it acknowledged so late that it is not going to be started any more."""
    if run.granted and not run.outdated:
        return
    for name in [name for name in run.registered if run.health.get(name) == "stopped" and name not in run.acting]:
        run.registered.discard(name)
        out.effects.append(GuardUnregister(run.spec.name, name))


def calm(run: Run, out: Out) -> None:
    """Everything runs: note it once, and forget failures after a quiet time."""
    if run.since_running is None:
        run.since_running = out.now
        out.note("group_running", group=run.spec.name, epoch=run.granted or run.epoch)
    if run.restarts and owner_elapsed(run.since_running, out.now) >= run.spec.failure_expiry_ms:
        run.restarts, run.failure = 0, ""


def acted(state: NodeState, run: Run, name: str, event: Acted, out: Out) -> None:
    """An action on resource `name` has ended; an action that was replaced by another is not listened to."""
    _, action = run.acting.pop(name)
    run.health[name] = event.health
    group = run.spec.name
    if action == "start":
        if event.ok:
            out.note("resource_started", group=group, resource=name, epoch=run.epoch)
        else:
            run.health[name] = "failed"
            failed(state, run, name, f"start failed: {event.detail}", out)
    elif action in ("stop", "kill"):
        if event.ok and event.health == "stopped":
            run.stop_failed, run.retry_at = "", None
            if outside.tells(run, name):
                out.note("resource_stopped", group=group, resource=name, by=action)
            outside.stopped(run, name, out)
        else:
            _stop_failed(state, run, name, action, event.detail, out)
    if run.health[name] == "stopped" and name in run.registered:
        run.registered.discard(name)
        out.effects.append(GuardUnregister(group, name))


def observed(state: NodeState, run: Run, event: Observed, out: Out) -> None:
    """A monitor or an event showed the health of a resource on which nothing is under way."""
    outside.observed(run, event, out)
    name, health, detail = event.resource, event.health, event.detail
    before = run.health.get(name, "unknown")
    if name in run.acting or before in ("unknown", health):
        return
    if before == "running" and health in ("failed", "stopped"):
        run.health[name] = health
        failed(state, run, name, detail or health, out)
    elif before == "failed" and health == "stopped":
        run.health[name] = health
    elif before == "stopped":
        run.health[name] = "failed" if health == "failed" else "running"
        outside.appeared(state, run, event, out)


def failed(state: NodeState, run: Run, name: str, reason: str, out: Out) -> None:
    """Count a failure: restarted in place at first, with growing waits; beyond `restarts` the group moves."""
    run.restarts += 1
    run.failure = reason
    wait = 0.0 if run.restarts == 1 else min(FIRST_RETRY_MS * 2.0 ** (run.restarts - 2), LONGEST_RETRY_MS)
    run.retry_at = out.now.plus(wait)
    out.note("resource_failed", group=run.spec.name, resource=name, reason=reason, failures=run.restarts)
    if run.restarts > run.spec.restarts and state.role(run.spec.name) == "owner":
        key = state.keys.failure(run.spec.name, state.node)
        value = Failure(run.restarts, name, reason[:300]).to_json()
        out.send("failure", Txn(state.writer.guarded(), (Put(key, value),), state.writer.reads(key)))


def _stop_failed(state: NodeState, run: Run, name: str, action: str, detail: str, out: Out) -> None:
    """A stop that fails is escalated to a kill; a kill that fails is tried again, in the open."""
    first = not run.stop_failed
    run.stop_failed = f"{name}: {detail or 'still running'}"
    run.health[name] = "failed"
    run.retry_at = out.now if action == "stop" else out.now.plus(STOP_RETRY_MS)
    out.note("stop_failed", group=run.spec.name, resource=name, action=action, reason=detail)
    if action == "kill" and first is False and run.spec.on_stop_failure == "self-fence":
        out.effects.append(SelfFence(f"{run.spec.name}/{name} cannot be stopped: {detail}"))


def expire_failures(state: NodeState, out: Out) -> None:
    """Take back this node's failures whose time is over, or whose cause is gone: the end of a failure is a write, not a
    clock's."""
    mine = {key.partition("/")[0]: key for key in state.view.failures if key.partition("/")[2] == state.node}
    for group in [group for group in state.failures_since if group not in mine]:
        del state.failures_since[group]
    state.failures_unfit.intersection_update(mine)
    for group in mine:
        since = state.failures_since.setdefault(group, out.now)
        run = state.runs.get(group)
        expiry = run.spec.failure_expiry_ms if run else 0.0
        gone = _cause_is_gone(state, group, state.view.failures[mine[group]].record)
        if (gone or owner_elapsed(since, out.now) >= expiry) and state.session.state == "live":
            state.failures_since[group] = out.now
            key = state.keys.failure(group, state.node)
            out.send("failure-expired", Txn(state.writer.guarded(), (Delete(key),), state.writer.reads(key)))
            if gone:
                out.note("failure_cause_gone", group=group, resource=state.view.failures[mine[group]].record.resource)
            if run:
                run.restarts = 0


def _cause_is_gone(state: NodeState, group: str, failure: Failure) -> bool:
    """Whether the resource that failed could not be started here for a reason that was seen (no link, no interface, no
    program), and for some time now it could."""
    own = state.readiness.get(group)
    if own is not None and f"resource/{failure.resource}" in own.sources:
        state.failures_unfit.add(group)
        return False
    return group in state.failures_unfit and (own is None or own.told.level != "unfit")
