"""The lab's etcd cluster: one member on every node, asked by etcd's JSON gateway from inside the node."""

from __future__ import annotations

import http.client
import json
import os
from dataclasses import dataclass
from typing import Any

from hactl.lab import netns
from hactl.lab.spec import PROFILES, LabSpec, NodeName

CLIENT_PORT, PEER_PORT = 2379, 2380


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """A member's status. `leader` is the id of the leader that it knows, "0" or "" for none."""

    member: str
    leader: str
    term: int


def arguments(spec: LabSpec, node: NodeName, data: str) -> list[str]:
    """etcd's command line on this node (binary: the environment's ETCD)."""
    profile = PROFILES[spec.profile]
    peers = ",".join(f"{station.name}=http://{station.address}:{PEER_PORT}" for station in spec.stations)
    options = {
        "name": node.name,
        "data-dir": data,
        "listen-client-urls": f"http://{node.address}:{CLIENT_PORT},http://127.0.0.1:{CLIENT_PORT}",
        "advertise-client-urls": f"http://{node.address}:{CLIENT_PORT}",
        "listen-peer-urls": f"http://{node.address}:{PEER_PORT}",
        "initial-advertise-peer-urls": f"http://{node.address}:{PEER_PORT}",
        "initial-cluster": peers,
        "initial-cluster-token": spec.name,
        "initial-cluster-state": "new",
        "heartbeat-interval": str(profile.heartbeat_ms),
        "election-timeout": str(profile.election_ms),
        # Without it a member that comes back from a partition unseats the leader.
        "pre-vote": "true",
        "auto-compaction-retention": "5m",
        "logger": "zap",
        "log-outputs": "stderr",
        "log-level": "warn",
    }
    return [os.environ.get("ETCD", "etcd"), *(f"--{key}={value}" for key, value in options.items())]


def call(spec: LabSpec, node: str, path: str, body: dict[str, Any], timeout_s: float = 1.0) -> dict[str, Any] | None:
    """One request to the node's own member, from inside the node. None: it does not answer, or refuses."""

    def request() -> dict[str, Any] | None:
        connection = http.client.HTTPConnection("127.0.0.1", CLIENT_PORT, timeout=timeout_s)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
        return dict(answer) if response.status == 200 else None

    return netns.inside(spec.namespace(node), request) if netns.exists(spec.namespace(node)) else None


def status(spec: LabSpec, node: str) -> MemberStatus | None:
    """The status of the node's member; None: no answer."""
    answer = call(spec, node, "/v3/maintenance/status", {})
    if answer is None:
        return None
    return MemberStatus(answer["header"]["member_id"], answer.get("leader", ""), int(answer.get("raftTerm", 0)))


def leader(spec: LabSpec) -> str | None:
    """The node whose member leads, as the members of the highest term say; None: none does."""
    answers = {node.name: status(spec, node.name) for node in spec.stations}
    known = {name: answer for name, answer in answers.items() if answer is not None}
    for answer in sorted(known.values(), key=lambda answer: -answer.term):
        for name, other in known.items():
            if other.member == answer.leader:
                return name
    return None


def healthy(spec: LabSpec, nodes: list[str]) -> bool:
    """Whether the members on all of these nodes answer and name the same leader."""
    answers = [status(spec, node) for node in nodes]
    leaders = {answer.leader if answer else "" for answer in answers}
    return len(leaders) == 1 and leaders.isdisjoint({"", "0"})


def move_leader(spec: LabSpec, node: str) -> bool:
    """Have the leader hand over to this node's member. False: refused, or there is no leader."""
    current, target = leader(spec), status(spec, node)
    if current == node:
        return True
    if current is None or target is None:
        return False
    body = {"targetID": target.member}
    return call(spec, current, "/v3/maintenance/transfer-leadership", body, timeout_s=5.0) is not None
