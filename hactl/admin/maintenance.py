"""`hactl maintenance`: a group, or everything, is left alone while operators work on it (docs/protocol.md,
*Maintenance*). Calls block, and raise RefusedError with nothing written, or StoreError."""

from __future__ import annotations

from election.ownership import session_of
from election.reading import ReadView
from election.records import Maintenance
from election.store import Compare, Delete, Put, Store, Txn
from fencing.linux.clock import utc
from hactl.admin.planned import Ending
from hactl.admin.requests import MaintenanceAsked
from hactl.admin.transaction import same_history, wanted_group, write
from hactl.decide.planned import ALL
from hactl.model.cluster import ClusterSpec


def begin(
    store: Store, view: ReadView, spec: ClusterSpec | None, group: str, by: str, *, ending: Ending, reason: str = ""
) -> MaintenanceAsked:
    """Leave `group`, or ("") everything, alone; it replaces an earlier request for the same."""
    if group:
        wanted_group(spec, group)
    key, scope = view.keys.maintenance(group or ALL), group or ALL
    request = Maintenance(by, utc(), *ending, reason)
    txn = Txn((same_history(view), Compare(key, "mod", view.mod_of(key))), (Put(key, request.to_json()),))
    revision = write(store, txn, "what is in maintenance")
    return MaintenanceAsked(True, revision, ending.until, _others(view, scope), _lost(view, group))


def end(store: Store, view: ReadView, spec: ClusterSpec | None, group: str) -> MaintenanceAsked:
    """End the maintenance of `group`, or ("") that of everything."""
    scope = group or ALL
    known, key = view.maintenance.get(scope), view.keys.maintenance(scope)
    if known is None:
        if group:
            wanted_group(spec, group)
        return MaintenanceAsked(False, also=_others(view, scope))
    txn = Txn((same_history(view), Compare(key, "mod", known.mod_revision)), (Delete(key),))
    revision = write(store, txn, "what is in maintenance")
    return MaintenanceAsked(True, revision, also=_others(view, scope), lost=_lost(view, group))


def _others(view: ReadView, scope: str) -> list[str]:
    """The other requests that keep a group of this scope alone."""
    return sorted(name for name in view.maintenance if name != scope and ALL in (name, scope))


def _lost(view: ReadView, group: str) -> list[str]:
    """The groups of the scope whose owner has no session."""
    owned = {name: known.record for name, known in view.groups.items() if group in ("", name)}
    held = {name: own for name, own in owned.items() if own.state in ("owned", "unmanaged")}
    return sorted(name for name, own in held.items() if session_of(view, own.holder) is None)
