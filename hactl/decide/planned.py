"""What operators have planned, as placement and the steps see it. Pure, and without a clock: what ends by itself ends
by a write (planned_steps.py).
"""

from __future__ import annotations

from election.keys import Keys
from election.reading import ReadView
from election.records import Maintenance
from election.view import Versioned
from hactl.model.cluster import GroupSpec

# The name of the maintenance of everything, and the beginning of that of a node. No group is called so.
ALL = "*"
_NODE = "node:"


def off(view: ReadView, group: GroupSpec) -> str:
    """Why the group is to run nowhere; empty: it is to run."""
    if not group.enabled:
        return "disabled"
    stop = view.stopped.get(group.name)
    return f"stopped by {stop.record.by or 'an operator'}" if stop is not None else ""


def kept_off(view: ReadView, group: str, node: str) -> str:
    """Why an operator wants the group not to be on the node, wherever else it may run; empty: it may be there."""
    if node not in view.standby and node in view.node_maintenance and not _has(view, group, node):
        return "in maintenance"
    return sent_off(view, group, node)


def sent_off(view: ReadView, group: str, node: str) -> str:
    """Why an operator wants the group not to be on the node, also what runs of it there already; empty: it may be
    there."""
    if node in view.standby:
        return "in standby"
    ban = view.bans.get(f"{group}/{node}")
    return f"banned by {ban.record.by or 'an operator'}" if ban is not None else ""


def node_scope(node: str) -> str:
    """The name of the maintenance of a node. That of a group is its name, that of everything `ALL`."""
    return _NODE + node


def node_of(scope: str) -> str:
    """The node that this maintenance is of; "": it is a group's, or everything's."""
    return scope.removeprefix(_NODE) if scope.startswith(_NODE) else ""


def key_of(keys: Keys, scope: str) -> str:
    """The key of the request for this maintenance."""
    node = node_of(scope)
    return keys.node_maintenance(node) if node else keys.maintenance(scope)


def all_maintenance(view: ReadView) -> dict[str, Versioned[Maintenance]]:
    """All that is asked for, by its name."""
    return {**view.maintenance, **{node_scope(node): asked for node, asked in view.node_maintenance.items()}}


def scopes_of(view: ReadView, group: str) -> tuple[str, ...]:
    """The names of the maintenances by which the group would be left alone: its own, that of everything, and that of
    the node that owns it."""
    owner = _owner(view, group)
    return (group, ALL, node_scope(owner)) if owner else (group, ALL)


def maintenance_keys(view: ReadView, group: str) -> tuple[str, ...]:
    """Their keys."""
    return tuple(key_of(view.keys, scope) for scope in scopes_of(view, group))


def maintenance_of(view: ReadView, group: str) -> Versioned[Maintenance] | None:
    """The operator's request to leave the group alone: its own, that of everything or of its node; None: there is
    none."""
    asked = view.maintenance.get(group) or view.maintenance.get(ALL)
    return asked or (view.node_maintenance.get(_owner(view, group)) if view.node_maintenance else None)


def in_maintenance(view: ReadView, node: str) -> bool:
    """Whether an operator wants the node left alone: nothing comes to it, and it is not fenced."""
    return ALL in view.maintenance or node in view.node_maintenance


def _owner(view: ReadView, group: str) -> str:
    """The node that owns the group, or has left it alone; "": none."""
    known = view.groups.get(group)
    return known.record.node if known is not None and known.record.state in ("owned", "unmanaged") else ""


def _has(view: ReadView, group: str, node: str) -> bool:
    """Whether the node has the group, or is about to get it."""
    known = view.groups.get(group)
    if known is None:
        return False
    offered = known.record.state == "handoff" and known.record.node == node
    return offered or any(holder.node == node for holder in known.record.runners)


def left_alone(view: ReadView, group: str, node: str) -> bool:
    """Whether what runs of the group on the node is not hactl's to stop: the node was its owner and has written that it
    is `unmanaged`. It holds until somebody has written another ownership, whatever becomes of the session."""
    known = view.groups.get(group)
    return known is not None and known.record.state == "unmanaged" and known.record.node == node


def resting(view: ReadView, group: str) -> str:
    """Why nobody starts, stops or moves the group; empty: no maintenance is asked for."""
    return "left alone (maintenance)" if maintenance_of(view, group) is not None else ""
