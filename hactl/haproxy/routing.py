"""The state of the cluster that a node's file depends on beside the configuration, from the store. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from election.reading import ReadView
from hactl.decide.routing import drained, following, owners
from hactl.model.cluster import ClusterSpec


@dataclass(frozen=True, slots=True)
class Routing:
    """`live`: the nodes whose session is. `drained`: servers that get no new connections, as `(service, node)`; service
    `*` is all. `owners`: for each exclusive group the node that owns it and is live; a group that nobody owns is not
    in it. `away`: as `drained`, but not by an operator: the instances behind these servers go down."""

    live: frozenset[str]
    drained: frozenset[tuple[str, str]] = frozenset()
    owners: Mapping[str, str] | None = None
    away: frozenset[tuple[str, str]] = frozenset()

    def is_drained(self, service: str, node: str) -> bool:
        """Whether the node's server gets no new connections."""
        return (service, node) in self.away or not self.drained.isdisjoint({(service, node), ("*", node)})


def routing_of(view: ReadView, spec: ClusterSpec, node: str) -> Routing:
    """As `node` sees it. It counts as live itself: its own backends are near, whatever its session does."""
    groups = {service.elected_by for service in spec.services} - {""}
    live = frozenset(view.sessions) | {node}
    return Routing(live, drained(view, spec.services), owners(view, groups), following(view, spec))
