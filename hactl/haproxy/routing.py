"""What a node's file depends on beside the configuration, from what the store holds. Pure."""

from __future__ import annotations

from election.view import View
from hactl.decide.routing import drained, owners
from hactl.haproxy.options import Situation
from hactl.model.cluster import ClusterSpec


def situation_of(view: View, spec: ClusterSpec, node: str) -> Situation:
    """As `node` sees it. It counts as live itself: its own backends are near, whatever its session does."""
    groups = {str(one.options.get("group", "")) for one in spec.services if one.options.get("writer")}
    return Situation(frozenset(view.sessions) | {node}, drained(view, spec.services), owners(view, groups))
