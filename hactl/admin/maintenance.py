"""`hactl maintenance`: a group, a node with all that it has, or everything, is left alone while operators work on it
(docs/protocol.md, *Maintenance*). Calls block, and raise RefusedError with nothing written, or StoreError."""

from __future__ import annotations

from election.ownership import session_of
from election.reading import ReadView
from election.records import Maintenance
from election.store import Compare, Delete, Put, Store, Txn
from fencing.linux.clock import utc
from hactl.admin.planned import Ending
from hactl.admin.requests import MaintenanceAsked
from hactl.admin.transaction import check_node, same_history, wanted_group, write
from hactl.decide.planned import ALL, all_maintenance, key_of, node_of, scopes_of
from hactl.model.cluster import ClusterSpec


def begin(
    store: Store, view: ReadView, spec: ClusterSpec | None, scope: str, by: str, *, ending: Ending, reason: str = ""
) -> MaintenanceAsked:
    """Leave what `scope` names alone: a group, a node (`node_scope`), everything (`ALL`). It replaces an earlier
    request for the same."""
    _check(spec, scope)
    key = key_of(view.keys, scope)
    request = Maintenance(by, utc(), *ending, reason)
    txn = Txn((same_history(view), Compare(key, "mod", view.mod_of(key))), (Put(key, request.to_json()),))
    revision = write(store, txn, "what is in maintenance")
    return MaintenanceAsked(True, revision, ending.until, _others(view, scope), _lost(view, scope), _left(view, scope))


def end(store: Store, view: ReadView, spec: ClusterSpec | None, scope: str) -> MaintenanceAsked:
    """End that maintenance."""
    known, key = all_maintenance(view).get(scope), key_of(view.keys, scope)
    if known is None:
        _check(spec, scope)
        return MaintenanceAsked(False, also=_others(view, scope))
    txn = Txn((same_history(view), Compare(key, "mod", known.mod_revision)), (Delete(key),))
    revision = write(store, txn, "what is in maintenance")
    return MaintenanceAsked(
        True, revision, also=_others(view, scope), lost=_lost(view, scope), groups=_left(view, scope)
    )


def _check(spec: ClusterSpec | None, scope: str) -> None:
    """Raises NoSuchError where there is nothing of this name."""
    if node := node_of(scope):
        check_node(spec, node)
    elif scope != ALL:
        wanted_group(spec, scope)


def _left(view: ReadView, scope: str) -> list[str]:
    """The groups of the scope that somebody has."""
    held = [name for name, known in view.groups.items() if known.record.state in ("owned", "unmanaged")]
    return sorted(name for name in held if scope in scopes_of(view, name))


def _others(view: ReadView, scope: str) -> list[str]:
    """The other requests that keep a group of this scope alone."""
    if scope == ALL:
        return sorted(name for name in all_maintenance(view) if name != ALL)
    groups = _left(view, scope) if node_of(scope) else [scope]
    named = {ALL, *(name for group in groups for name in scopes_of(view, group))} - {scope}
    return sorted(named & all_maintenance(view).keys())


def _lost(view: ReadView, scope: str) -> list[str]:
    """The groups of the scope whose owner has no session."""
    return [name for name in _left(view, scope) if session_of(view, view.groups[name].record.holder) is None]
