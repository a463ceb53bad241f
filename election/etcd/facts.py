"""The facts that the endpoints of etcd state of themselves. Pure."""

from __future__ import annotations

from typing import NamedTuple


class EtcdMember(NamedTuple):
    """A member of etcd, as the others know it. `urls`: where clients reach it; empty until it has started once.
    `peer_urls`: where the other members reach it."""

    id: int
    name: str
    urls: tuple[str, ...] = ()
    learner: bool = False
    peer_urls: tuple[str, ...] = ()


class EndpointFacts(NamedTuple):
    """One endpoint. `problem`: why it said nothing of itself; the rest is empty then. `leader_id`: 0 where it knows of
    none. `quota_bytes`: 0 where it does not say. `alarms`: such as NOSPACE, of all members. `read_ms`: how long it took
    to answer a read that needs a majority; None: it did not. `learner`: it serves nobody yet. `db_used_bytes`: of
    `db_bytes`, what a defragmentation would leave. `raft_index`: how far its log goes."""

    endpoint: str
    problem: str = ""
    cluster_id: int = 0
    member_id: int = 0
    leader_id: int = 0
    version: str = ""
    db_bytes: int = 0
    quota_bytes: int = 0
    alarms: tuple[str, ...] = ()
    members: tuple[EtcdMember, ...] = ()
    read_ms: float | None = None
    learner: bool = False
    db_used_bytes: int = 0
    raft_index: int = 0
    revision: int = 0
