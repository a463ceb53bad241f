"""The number of etcd's members, as far as a configuration tells, and how many may be lost. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hactl.config.rules.findings import Finding
from hactl.model.cluster import ClusterSpec

_THREE = "run etcd on three machines (one that runs etcd alone will do), and name all in `endpoints` of node.toml"


def known_members(endpoints: Sequence[str]) -> int:
    """How many members etcd has, as node.toml tells; 0: it names only the one on this machine."""
    alone = len(endpoints) == 1 and re.search(r"(^|//)(localhost|127\.|\[::1\])", endpoints[0])
    return 0 if alone else len(endpoints)


def majority_findings(spec: ClusterSpec, endpoints: int) -> Iterator[Finding]:
    """Warnings for the operator before anything fails. `endpoints`: how many of etcd node.toml names; 0: not known."""
    path = ("nodes",)
    nodes, members = len(spec.nodes), endpoints or len(spec.nodes)
    here = f"etcd has {members} endpoint{'' if members == 1 else 's'} in node.toml"
    where = here if endpoints else f"with etcd on {'this node' if nodes == 1 else f'these {nodes} nodes'} alone"
    if nodes == 1:
        problem = "one node: when it fails, nobody takes its groups over"
        yield Finding(path, problem, "add nodes, to three", refused=False)
    if members == 1:
        yield Finding(path, f"{where}: when that one stops, no node can hold anything", _THREE, refused=False)
    elif members == 2:
        problem = (
            f"{where}: one of two is no majority, so when either dies the other holds nothing, and nothing fails over"
        )
        yield Finding(path, problem, _THREE, refused=False)
    elif members % 2 == 0:
        problem = f"{where}: an even number survives the loss of no more than one less does"
        yield Finding(path, problem, "have an odd number of members: one more, or one less", refused=False)


def no_failover(spec: ClusterSpec, endpoints: int) -> str:
    """Why no time can be promised for a failover; "" where it can."""
    members = endpoints or len(spec.nodes)
    if len(spec.nodes) == 1:
        return "there is no other node"
    if members < 3:
        return f"{members} member{'' if members == 1 else 's'} of etcd: the loss of one leaves no majority"
    return ""
