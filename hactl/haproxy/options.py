"""The settings of HAProxy, of a set of defaults and of a service: their meaning. Pure.

`cluster.yaml` has them under the same names (a duration without `_ms`, and with a unit), checked by
`hactl/config/services/service.py`; `render.py` writes them out. Durations are in milliseconds.

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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Balance = Literal["roundrobin", "static-rr", "leastconn", "first", "source", "random", "uri", "url_param", "hdr"]
CheckKind = Literal["tcp", "http", "mysql", "pgsql", "redis", "ldap", "smtp", "tls", "none"]
Kind = Literal["listen", "split", "frontend", "backend"]
Mode = Literal["tcp", "http"]

# The weights of servers without one of their own. A node whose daemon is not heard keeps a hundredth of the
# traffic: enough to serve when all others are down, and changed without a reload (`backup` is not).
WEIGHT, WEIGHT_NOT_LIVE = 100, 1


class OptionError(ValueError):
    """A setting that is not known or cannot be. The message names it."""


# --- where HAProxy accepts --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BindTls:
    """TLS ended by HAProxy. `certificates`: PEM files or directories of them, certificate and key in one;
    `crt_list`: a file that lists them. `ca_file`, `verify`: for client certificates. `min_version`: `TLSv1.2`.
    What is empty is left to HAProxy."""

    certificates: tuple[str, ...] = ()
    crt_list: str = ""
    ca_file: str = ""
    verify: Literal["", "none", "optional", "required"] = ""
    alpn: str = ""
    min_version: str = ""
    ciphers: str = ""
    ciphersuites: str = ""


@dataclass(frozen=True, slots=True)
class BindOptions:
    """One `bind`. `address`: `10.0.0.30:5000`, `[fd00::30]:5000`, `*:80`, a range of ports `10.0.0.30:6080-6082`, or,
    word for word, what HAProxy knows else (`/run/x.sock`, `abns@x`). `accept_proxy`: who connects speaks the PROXY
    protocol. `words`: further words of HAProxy's."""

    address: str
    tls: BindTls | None = None
    accept_proxy: bool = False
    words: str = ""


# --- servers ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServerTls:
    """TLS to the servers. `verify: required` needs `ca_file`. `sni`: an expression of HAProxy's such as
    `str(api.example.org)`. `certificate`: the client's own."""

    verify: Literal["none", "required"] = "required"
    ca_file: str = ""
    verify_host: str = ""
    sni: str = ""
    alpn: str = ""
    certificate: str = ""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What all servers of a service have (`default-server`). `dead_peer_ms`: how long data sent to a server may stay
    unacknowledged by its kernel before the connection counts as broken (TCP_USER_TIMEOUT): finds a node that lost
    power under an open connection. `shutdown_sessions`: when a server is found down its connections are cut
    (`on-marked-down shutdown-sessions`). `weight`: of a server that has none of its own. `words`: further words."""

    maxconn: int | None = None
    maxqueue: int | None = None
    weight: int | None = None
    slowstart_ms: int | None = None
    send_proxy: Literal["", "v1", "v2"] | None = None
    tls: ServerTls | None = None
    shutdown_sessions: bool | None = None
    dead_peer_ms: int | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class ListedServer:
    """A server that is not a node of the cluster, or not to be treated as one. `address`: an IP address, a name, or,
    word for word, what HAProxy knows else. `port`: 0 is the service's; none of both: that of the `bind`. `cookie`:
    its value. `node`: the node that it is on, if any: for `drain`."""

    name: str
    address: str
    port: int = 0
    weight: int | None = None
    backup: bool = False
    disabled: bool = False
    cookie: str = ""
    node: str = ""
    words: str = ""


# --- checks -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AgentCheck:
    """A program at the server that says its weight and state (`agent-check`). `send`: what it is sent first."""

    port: int
    inter_ms: int | None = None
    send: str = ""


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How HAProxy sees whether a server is well. `kind`: `tcp` it accepts; `http` it answers `method path`
    (empty: `GET /`, unless `lines` say what is sent) with `expect_status` (HAProxy's words: `200`, `200-399`; empty:
    2xx and 3xx), the header Host being `host`; `mysql`, `pgsql` it greets the user `user`; `redis` it says it has
    the role `role` (empty: it answers PING); `ldap`, `smtp`, `tls` it says hello; `none` not looked at. `port`,
    `address`: where to look, if not where it serves. `tls`: by TLS although traffic is not, or the other way.
    `observe`: a failed connection counts, too.
    `inter_ms`: between checks of a server that is up; `fastinter_ms`: while it is going up or down; `downinter_ms`:
    while it is down. `rise`, `fall`: how many in a row turn it. `timeout_ms`: how long a connected server may take
    to answer. `lines`: `tcp-check` and `http-check` lines, word for word, in their order."""

    kind: CheckKind | None = None
    method: str = ""
    path: str = ""
    host: str = ""
    expect_status: str = ""
    user: str = ""
    role: Literal["", "master", "slave"] = ""
    port: int | None = None
    address: str = ""
    tls: bool | None = None
    sni: str = ""
    send_proxy: bool | None = None
    agent: AgentCheck | None = None
    observe: bool | None = None
    inter_ms: int | None = None
    fastinter_ms: int | None = None
    downinter_ms: int | None = None
    rise: int | None = None
    fall: int | None = None
    timeout_ms: int | None = None
    lines: tuple[str, ...] = ()


# --- time, persistence, pages -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Timeouts:
    """`connect_ms` is short by default because servers are on the cluster's network: a SYN without an answer is a dead
    node or a lost packet, and either is mended sooner by another server than by waiting. `client_ms`,
    `server_ms`: silence of that side. `queue_ms`: waiting for a free server. `http_request_ms`: for the whole
    head of a request. `tunnel_ms`: silence of both sides of a TCP connection or WebSocket in place of
    client's and server's."""

    connect_ms: int | None = None
    client_ms: int | None = None
    server_ms: int | None = None
    queue_ms: int | None = None
    http_request_ms: int | None = None
    http_keep_alive_ms: int | None = None
    tunnel_ms: int | None = None
    client_fin_ms: int | None = None
    server_fin_ms: int | None = None
    tarpit_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Cookie:
    """A client stays with its server by a cookie; its value is the server's name. `words`: further words
    (`httponly secure maxidle 30m`)."""

    name: str
    mode: Literal["insert", "rewrite", "prefix"] = "insert"
    indirect: bool = True
    nocache: bool = True
    words: str = ""


@dataclass(frozen=True, slots=True)
class Stick:
    """A client stays with its server by a table. `on`: what it is known by, a sample of HAProxy's (`src`). `type`:
    of that (`ip`, `ipv6`, `string len 32`). `size`: entries, as HAProxy writes it (`100k`). `shared`: the balancers
    of all nodes have the same table (by `peers`). `lines`: further `stick …` lines, word for word."""

    on: str = "src"
    type: str = "ip"
    size: str = "100k"
    expire_ms: int = 1_800_000
    shared: bool = True
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StatsPage:
    """HAProxy's own page, in a service of `mode: http`. `userlist`: who may see it."""

    uri: str = "/haproxy"
    refresh_ms: int | None = 10_000
    userlist: str = ""
    admin: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """A synthetic check: a request through the service's first VIP (or `bind`), made by the nodes that do not have
    that address. `kind`: `tcp` connects, `http` asks for `path`. `expect_status`: such as `200-399`. `tls`: by TLS,
    nothing verified."""

    kind: Literal["tcp", "http"]
    path: str = "/"
    host: str = ""
    expect_status: str = "200-399"
    tls: bool = False
    interval_ms: int = 10_000
    timeout_ms: int = 3_000
    bind: str = ""


# --- defaults and services --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Common:
    """What both a set of defaults and a service have.

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


@dataclass(frozen=True, slots=True)
class ServiceOptions(Common):
    """`ServiceSpec.options`: all of `Common`, and what only a service has.

    `kind`: `listen` accepts and has servers, in one section; `split`: in two, the frontend named `NAME-front`;
    `frontend` only accepts, `backend` only has servers. `defaults`: the set of defaults by name ("": `BUILT_IN`).
    `port`: where the service listens on each node. `members`: the nodes are servers; `nodes`: which of them, in
    this order (empty: all). `servers`: further ones. `group`: with `writer: elected` the owner of this group is the
    only server in use. `acls`, `tcp_request`, `http_request`, `http_response`, `use_backend`: what follows that
    word on a line, in order; an ACL's is `NAME CRITERION`. `extra` stands at the end of the section with the
    servers, `extra_frontend` at the end of the other, for `listen` before it. `preset`: what it was made from, for
    people.
    """

    kind: Kind = "listen"
    defaults: str = ""
    binds: tuple[BindOptions, ...] = ()
    port: int = 0
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


# --- the whole --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class User:
    """One of a userlist's. `password`: as crypt(3) has it, never in the clear. `groups`: of the list."""

    name: str
    password: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exporter:
    """HAProxy's own Prometheus metrics, on an address of each node: `port` on the node's address."""

    port: int = 8405
    path: str = "/metrics"


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """`ClusterSpec.haproxy`: the same for HAProxy on every node.

    `maxconn`: of the process. `nbthread`: 0 lets HAProxy take one a core. `hard_stop_after_ms`: how long a
    process that a reload replaced may stay for its open connections (None: for ever). `user`, `group`: what the
    workers become ("" stays root). `log`: the arguments of `log` lines. `manage_sysctl`: the daemon sets
    ip_nonlocal_bind, else it only refuses to start HAProxy without. `peers_port`: of each node's address, for tables
    that are shared. `defaults`: sets of defaults by name. `userlists`: by name. `extra_global`: lines put word for
    word at the end of `global`; `extra_defaults`: of the built-in set of defaults; `sections`: whole sections word
    for word, each a text.
    """

    maxconn: int | None = 8_000
    nbthread: int = 0
    hard_stop_after_ms: int | None = 1_800_000
    user: str = "haproxy"
    group: str = "haproxy"
    log: tuple[str, ...] = ("/dev/log local0 info",)
    manage_sysctl: bool = True
    peers_port: int = 1024
    exporter: Exporter | None = None
    defaults: Mapping[str, Common] | None = None
    userlists: Mapping[str, tuple[User, ...]] | None = None
    extra_global: tuple[str, ...] = ()
    extra_defaults: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()


# --- what the file depends on beside the configuration ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of the cluster. `live`: the nodes whose session is. `drained`: servers that get no new
    connections, as `(service, node)`; service `*` is all. `owners`: for each exclusive group the node that owns it
    and is live; a group that nobody owns is not in it."""

    live: frozenset[str]
    drained: frozenset[tuple[str, str]] = frozenset()
    owners: Mapping[str, str] | None = None

    def is_drained(self, service: str, node: str) -> bool:
        """Whether the node's server gets no new connections."""
        return not self.drained.isdisjoint({(service, node), ("*", node)})
