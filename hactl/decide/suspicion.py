"""Silent nodes that are fenced before their lease is over (docs/protocol.md, *Failure detection*). Pure."""

from __future__ import annotations

from election.clock import owner_elapsed
from election.reading import ReadView
from election.records import Holder, Session
from election.view import Versioned
from hactl.decide.planned import in_maintenance, maintenance_of
from hactl.decide.state import GuardQueried, NodeState, Out
from hactl.model.cluster import ClusterSpec
from hactl.model.effects import AskGuard
from hactl.model.events import GuardReplied


def owns_required(view: ReadView, cluster: ClusterSpec | None, holder: Holder) -> bool:
    """Whether `holder` may be running a group that starts elsewhere only once it is known to be stopped. Nobody is
    fenced for a group that is left alone, and no node that is."""
    if cluster is None or in_maintenance(view, holder.node):
        return False
    held = [name for name, group in view.groups.items() if holder in group.record.runners]
    specs = (cluster.group(name) for name in held if maintenance_of(view, name) is None)
    return any(spec is not None and spec.fencing == "required" for spec in specs)


def suspected(state: NodeState, node: str, session: Versioned[Session], out: Out) -> bool:
    """Whether the node is to be deposed before its lease is over, in order to be fenced. Shortly before, its guard
    is asked: one that answers that it holds the deadline puts that off until the lease is over."""
    timing, observer = state.timing, state.observer
    limit = timing.suspect_after_ms
    if not observer.suspected(node, session, limit - timing.heartbeat_ms, out.now):
        return False
    holder = Holder(node, session.record.session_id, session.create_revision)
    if not state.topology.of(node).has_device or not owns_required(state.view, state.cluster, holder):
        return False
    query = _ask(state, node, session, out)
    reply = state.guard_replies.get(node)
    if reply is not None and reply[0] == session.record.session_id and observer.replied_since(node, reply[1]):
        return False
    if query is not None and owner_elapsed(query.first, out.now) < state.timing.heartbeat_ms / 2:
        return False  # I stood still myself between the question and the limit: it has its time to answer
    return observer.suspected(node, session, limit, out.now)


def _ask(state: NodeState, node: str, session: Versioned[Session], out: Out) -> GuardQueried | None:
    """Ask its guard, again and again; since when that has been done in this silence, None: it has no address."""
    query, again = state.guard_queries.get(node), state.timing.heartbeat_ms / 2
    if query is not None and not state.observer.replied_since(node, query.first):
        query = None  # of an earlier silence
    address = state.cluster.address(node) if state.cluster else ""
    if address and (query is None or owner_elapsed(query.last, out.now) >= again):
        query = state.guard_queries[node] = GuardQueried(query.first if query else out.now, out.now)
        out.effects.append(AskGuard(node, address, session.record.session_id))
    return query


def on_reply(state: NodeState, event: GuardReplied, out: Out) -> None:
    """A guard has answered. Only that it holds the deadline is of use."""
    if event.holds:
        state.guard_replies[event.node] = (event.session_id, out.now)
        out.note_once(f"guard/{event.node}", "guard_holds", node=event.node, sid=event.session_id)
