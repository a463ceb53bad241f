"""The other nodes: whose session is over, and what this one tells them. Pure."""

from __future__ import annotations

from election import ownership
from election.keys import Keys
from election.records import GroupReport, Member, Report
from election.store import Compare, Put, Txn
from hactl.decide import (
    client_view,
    clones,
    node_health,
    outside,
    readiness_in_step,
    requirements,
    suspicion,
    troubles,
)
from hactl.decide.local_group import LocalGroup
from hactl.decide.state import NodeState, Out
from hactl.model.purposes import Purpose


def watch(state: NodeState, out: Out) -> None:
    """Depose sessions that are over; write the records of lost ones."""
    if state.session.state != "live" or state.blind(out.now) or state.observer.in_gap(out.now):
        return
    under_way = {sent.name for sent in state.pending.values() if sent.purpose in (Purpose.DEPOSE, Purpose.LOST)}
    for node, session in state.view.sessions.items():
        if node == state.node or node in under_way:
            continue
        over = state.observer.over(node, session, out.now)
        if over or suspicion.suspected(state, node, session, out):
            # A fence record that cannot be read, beside a session, is an earlier session's: it may be written over.
            fence_mod = state.view.mod_of(state.keys.fence(node))
            txn = ownership.depose(state.writer, node, session, fence_mod, over=over)
            out.send(Purpose.DEPOSE, txn, name=node)
            silent = round(state.observer.silent_ms(node, out.now))
            out.note("peer_over", node=node, silent_ms=silent, sid=session.record.session_id)
    for holder in ownership.lost_holders(state.view):
        if holder.node not in under_way and holder.node != state.node:
            fence_mod = state.view.mod_of(state.keys.fence(holder.node))
            txn = ownership.write_lost(state.writer, holder, fence_mod, state.longest_lease_ms)
            out.send(Purpose.LOST, txn, name=holder.node)
            out.note("session_lost", node=holder.node, sid=holder.session_id)


def answer_probes(state: NodeState) -> None:
    """Answer the question whether a group without an owner runs here, after looking anew."""
    for name, probe in state.view.probes.items():
        run = state.runs.get(name)
        known = state.view.groups.get(name)
        alone = known is not None and known.record.state == "unmanaged"
        if run is None or (state.view.mod_of(state.keys.group(name)) and not alone):
            continue
        if run.probed != probe.mod_revision and not run.acting:
            run.probed, run.settled = probe.mod_revision, None
            for resource, health in run.health.items():
                if health == "stopped" or alone:
                    run.health[resource] = "unknown"
            state.dirty = True
        elif run.probed == probe.mod_revision and not run.acting and "unknown" not in run.health.values():
            run.answered_probe = probe.mod_revision


def report(state: NodeState, out: Out) -> None:
    """Tell the others what runs here, when that has changed."""
    if state.session.state != "live" or state.sending(Purpose.REPORT):
        return
    content: dict[str, GroupReport] = {}
    for run in state.all_here():
        if run.entry is None or run.settled is None:
            run.entry = _entry(state, run)
        content[run.spec.name] = run.entry
    probes = {name: run.answered_probe for name, run in state.runs.items() if run.answered_probe}
    troubles.bar(state)
    node_health.judge(state)
    requirements.judge(state)
    standings = readiness_in_step.own_standings(state, out)
    failing = {source: trouble.copy() for source, trouble in state.troubles.items()}
    warnings = outside.warnings(state)
    checks, views = dict(node_health.own_checks(state)), client_view.own_views(state)
    report = Report(
        state.session.session_id, state.config_rev, content, probes, standings, failing, warnings, checks, views
    )
    known = state.view.reports.get(state.node)
    if known is not None and known.record == report:
        return  # compared with what the store holds: an older report of mine may have landed late
    key = state.keys.report(state.node)
    out.send(Purpose.REPORT, Txn(state.writer.guarded(), (Put(key, report.to_json()),), state.writer.reads()))


def _entry(state: NodeState, run: LocalGroup) -> GroupReport:
    entry: GroupReport = {"phase": run.phase, "epoch": run.epoch, "resources": dict(run.health)}
    if reason := run.stop_failed or run.failure or run.waiting:
        entry["reason"] = reason
    if run.failure and not run.running:
        entry["failed"] = True
    if run.leaving and not run.stopped:
        entry["leaving"] = True
    if run.spec.run == "all":
        _of_instance(state, run, entry)
    if run.score.of >= 0:
        entry["score_of"] = run.score.of
        if run.score.value is not None:
            entry["score"] = run.score.value
    return entry


def _of_instance(state: NodeState, run: LocalGroup, entry: GroupReport) -> None:
    if clones.given_up(run):
        entry["given_up"] = True
    if run.alone:
        entry["alone"] = True
    if run.outdated:
        entry["outdated"] = True
    request = state.view.restarts.get(run.spec.name)
    if request is not None and run.restarted == request.mod_revision:
        entry["restarted"] = run.restarted


def member_txn(keys: Keys, member: Member, session_revision: int) -> Txn:
    """Write a node's member record, while its session is the one created at `session_revision`."""
    mine = Compare(keys.node(member.node), "create", session_revision)
    return Txn((mine,), (Put(keys.member(member.node), member.to_json()),))
