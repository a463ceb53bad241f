"""The view that each node's HAProxy has of its servers, as the nodes tell each other: a JSON document for each node,
below `/hactl-health/<cluster>/` (docs/protocol.md). Pure.

A document has to be small, since it is written whenever something in it changes: of a server only what differs from the
normal case is in it (up, weight 100, no reason to count its sessions). Two hundred services of three servers are
10 kB.

    {"node": "n1", "sid": "…", "at": "2026-11-21T10:15:00Z",
     "haproxy": {"version": "2.6.12", "running": true, "error": "", "file": "0b9c2d…"},
     "services": {"nova": {"n1": {}, "n2": {"status": "DOWN", "check": "L4CON", "detail": "Connection refused",
                                            "since": 1795000000}}},
     "probes": {"nova": {"outcome": "completed", "ms": 12.5, "detail": "", "since": 1795000000}}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from election.reading import ReadView
from election.records import STORED_NAMES

NORMAL_WEIGHT = 100

# HAProxy counts while a server is going up or down: "UP 1/2", "DOWN 1/3".
_COUNTING = re.compile(r" \d+/\d+$")


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """A server as one HAProxy sees it. `status`: HAProxy's word (UP, DOWN, DRAIN, MAINT, NOLB, "no check"), without its
    counting of checks. `sessions`: those it has, 0 where nobody is waiting for them to end (`counted`). `check`,
    `detail`: of a server that is down, the check's code and its words. `since`: Unix time at which the status
    became this, by that node's clock; 0 for a server that is up."""

    status: str = "UP"
    weight: int = NORMAL_WEIGHT
    sessions: int = 0
    check: str = ""
    detail: str = ""
    since: int = 0

    @property
    def up(self) -> bool:
        """It gets new connections, or would if it were no backup."""
        return self.weight > 0 and self.status.startswith(("UP", "no check"))

    @property
    def down(self) -> bool:
        """HAProxy finds that it does not answer as it should."""
        return self.status.startswith("DOWN")

    @property
    def counted(self) -> bool:
        """Its sessions are told: it gets no new ones, and those that it has are to end."""
        return not self.up

    @property
    def other_role(self) -> bool:
        """Where the check asks for a role: it answers, and the role is another server's, as it is meant to be."""
        return self.down and self.check.startswith("L7")

    def as_dict(self) -> dict[str, Any]:
        """For JSON. There are thousands: `dataclasses.asdict`, which copies in depth, takes ten times as long."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class ProbeHealth:
    """A service as one node found it by its own request. `ms`: how long the last one took, of those that were told.
    `since`: Unix time at which the outcome became this."""

    outcome: str
    ms: float
    detail: str = ""
    since: int = 0


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """A node's document. `at`: when it was written, by the node's clock. It holds while the node's session does
    (`session_id`, `current`): it is written on change, so that it may be old and true. `error`: why HAProxy does not
    run as it is configured. `file`: the fingerprint of the configuration that it runs with."""

    node: str
    session_id: str
    at: str = ""
    version: str = ""
    running: bool = False
    error: str = ""
    services: Mapping[str, Mapping[str, ServerHealth]] = field(default_factory=dict)
    probes: Mapping[str, ProbeHealth] = field(default_factory=dict)
    file: str = ""

    def server(self, service: str, name: str) -> ServerHealth | None:
        """One server, None: this HAProxy does not have it."""
        return self.services.get(service, {}).get(name)


def plain_status(status: str) -> str:
    """HAProxy's word without its counting of checks."""
    return _COUNTING.sub("", status)


def encode(health: NodeHealth) -> str:
    """The document."""
    return json.dumps(
        {
            "node": health.node,
            "sid": health.session_id,
            "at": health.at,
            "haproxy": {
                "version": health.version,
                "running": health.running,
                "error": health.error,
                "file": health.file,
            },
            "services": {
                service: {name: _differences(server) for name, server in servers.items()}
                for service, servers in health.services.items()
            },
            "probes": {service: asdict(probe) for service, probe in health.probes.items()},
        },
        separators=(",", ":"),
    )


def decode(text: str) -> NodeHealth | None:
    """The content of a document; None when it is none."""
    try:
        read = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    services = {service: dict(servers) for service, servers in read.services.items()}
    haproxy = read.haproxy
    return NodeHealth(
        read.node,
        read.session_id,
        read.at,
        haproxy.version,
        haproxy.running,
        haproxy.error,
        services,
        read.probes,
        haproxy.file,
    )


@dataclass(frozen=True, slots=True)
class _Haproxy:
    version: str
    running: bool
    error: str
    file: str = ""


class _Document(msgspec.Struct, frozen=True, rename=STORED_NAMES):
    """As it is stored; fields that a later version adds are ignored."""

    node: str
    session_id: str
    at: str
    haproxy: _Haproxy
    services: dict[str, dict[str, ServerHealth]]
    probes: dict[str, ProbeHealth]


_DECODER = msgspec.json.Decoder(_Document)


def current(documents: Mapping[str, NodeHealth], view: ReadView, me: str = "") -> dict[str, NodeHealth]:
    """Those whose session, that wrote them, is live, by name; that of `me` in any case."""
    live = {name: session.record.session_id for name, session in view.sessions.items()}
    return {name: told for name, told in sorted(documents.items()) if name == me or live.get(name) == told.session_id}


_NORMAL = ServerHealth().as_dict()


def _differences(server: ServerHealth) -> dict[str, Any]:
    return {name: value for name, value in server.as_dict().items() if value != _NORMAL[name]}
