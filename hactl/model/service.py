"""Services, and what they have in common with sets of defaults. Pure.

`cluster.yaml` has the settings under the same names (a duration without `_ms`, and with a unit), checked by
`hactl/config/services/`; `hactl/haproxy/render` writes them out. Durations are in milliseconds.

What is None is not written: then the set of defaults that the service names has it, and behind that HAProxy
itself. `BUILT_IN` is the set of those that name none. A service from another program's file names a set that
holds what was there, so that nothing is added to it.

Why the built-in values: a dead node must cost its callers a delay, never an error. A connect to it that gets no
answer ends after `connect_ms`, is tried on another server at once (redispatch at every retry), and counts
against the server at once: together with one more failure, of a request or of the check that is hurried
to `fastinter_ms`, it is down. Two are asked for, so that a single lost SYN takes no server out of use; a
server that recovers is back after `rise` checks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from hactl.model.options import Sparse
from hactl.model.service_parts import (
    BindOptions,
    CheckOptions,
    Cookie,
    ListedServer,
    Probe,
    ServerOptions,
    StatsPage,
    Stick,
    Timeouts,
)

Balance = Literal["roundrobin", "static-rr", "leastconn", "first", "source", "random", "uri", "url_param", "hdr"]
Kind = Literal["listen", "split", "frontend", "backend"]
Mode = Literal["tcp", "http"]

# The weights of servers without one of their own. A node whose daemon is not heard keeps a hundredth of the
# traffic: enough to serve when all others are down, and changed without a reload (`backup` is not).
WEIGHT, WEIGHT_NOT_LIVE = 100, 1


class Common(Sparse, frozen=True):
    """The settings that both a set of defaults and a service have.

    `balance_by`: argument of `uri`, `url_param`, `hdr` (and of `random`). `hash_type`: `consistent`, `map-based`.
    `redispatch`: a retry goes to another server. `keep_alive`: of HAProxy's connections to servers (http): `close`
    (`http-server-close`), `keep` (`http-keep-alive`), `none` (`httpclose`). `idle_close_on_response`: a process that
    was replaced closes a client's idle connection with its next answer, not before. `log`: arguments of `log` lines
    (`global`); `detailed_log`: tcplog or httplog, by the mode. `forwardfor`: X-Forwarded-For. `tcp_keepalive`: the
    kernel finds silent dead peers in about ten seconds. `extra`: lines word for word.
    """

    mode: Mode | None = None
    balance: Balance | None = None
    balance_by: str = ""
    hash_type: str | None = None
    retries: int | None = None
    redispatch: bool | None = None
    maxconn: int | None = None
    keep_alive: Literal["close", "keep", "none"] | None = None
    idle_close_on_response: bool | None = None
    forwardfor: bool | None = None
    dontlognull: bool | None = None
    tcp_keepalive: bool | None = None
    all_backups: bool | None = None
    detailed_log: bool | None = None
    log: tuple[str, ...] | None = None
    log_format: str | None = None
    timeouts: Timeouts = Timeouts()
    check: CheckOptions = CheckOptions()
    server: ServerOptions = ServerOptions()
    extra: tuple[str, ...] = ()


BUILT_IN = Common(
    mode="tcp",
    balance="roundrobin",
    retries=3,
    redispatch=True,
    keep_alive="close",
    forwardfor=True,
    dontlognull=True,
    tcp_keepalive=True,
    all_backups=True,
    detailed_log=True,
    log=("global",),
    timeouts=Timeouts(connect_ms=300, client_ms=60_000, server_ms=60_000, queue_ms=5_000, http_request_ms=10_000),
    check=CheckOptions(
        kind="tcp", inter_ms=1000, fastinter_ms=200, downinter_ms=1000, rise=2, fall=2, timeout_ms=2000, observe=True
    ),
    server=ServerOptions(weight=WEIGHT, dead_peer_ms=3_000),
)  # fmt: skip


class ServiceOptions(Common, frozen=True):
    """All of `Common`, and what only a service has.

    `kind`: `listen` accepts and has servers, in one section; `split`: in two, the frontend named `NAME-front`;
    `frontend` only accepts, `backend` only has servers. `defaults`: the set of defaults by name ("": `BUILT_IN`).
    `members`: the nodes are servers; `nodes`: which of them, in this order (empty: all). `servers`: further ones.
    `group`: with `writer: elected` the owner of this group is the only server in use; without, a group that runs on
    every node: a server gets no new connections while its node's instance is not to run, or is on its way down.
    `acls`, `tcp_request`, `http_request`, `http_response`, `use_backend`: what follows that word on a line, in order;
    an ACL's is `NAME CRITERION`. `extra` stands at the end of the section with the
    servers, `extra_frontend` at the end of the other, for `listen` before it. `preset`: what it was made from, for
    people. `binds`: where HAProxy accepts; empty where that is nothing but the addresses of `ServiceSpec.binds`.
    """

    kind: Kind = "listen"
    defaults: str = ""
    members: bool = True
    nodes: tuple[str, ...] = ()
    servers: tuple[ListedServer, ...] = ()
    writer: Literal["", "elected"] = ""
    group: str = ""
    default_backend: str = ""
    acls: tuple[str, ...] = ()
    tcp_request: tuple[str, ...] = ()
    http_request: tuple[str, ...] = ()
    http_response: tuple[str, ...] = ()
    use_backend: tuple[str, ...] = ()
    cookie: Cookie | None = None
    stick: Stick | None = None
    stats: StatsPage | None = None
    probe: Probe | None = None
    enabled: bool = True
    extra_frontend: tuple[str, ...] = ()
    preset: str = ""
    binds: tuple[BindOptions, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """An active/active service behind HAProxy on every node.

    `binds` are the addresses alone, `mode` is the one in force. `port`: where the service listens on each node.
    """

    name: str
    binds: tuple[str, ...]
    port: int
    mode: Mode = "tcp"
    options: ServiceOptions = field(default_factory=ServiceOptions)

    @property
    def accepts(self) -> tuple[BindOptions, ...]:
        """Where HAProxy accepts, in full."""
        return self.options.binds or tuple(BindOptions(address) for address in self.binds)

    @property
    def elected_by(self) -> str:
        """The group whose owner is the only server in use; "" where all servers are."""
        return self.options.group if self.options.writer == "elected" else ""

    @property
    def follows(self) -> str:
        """The group that runs on every node, and whose instances its servers are; "": they go by HAProxy's checks
        alone."""
        return self.options.group if not self.options.writer else ""

    def places(self, nodes: Iterable[str]) -> tuple[str, ...]:
        """The node of each of its servers; "" for one that is on none. `nodes`: all that there are."""
        if self.options.kind == "frontend" or not self.options.enabled:
            return ()
        members = (self.options.nodes or tuple(nodes)) if self.options.members else ()
        return (*members, *(server.node for server in self.options.servers))
