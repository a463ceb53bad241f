"""The parts of a service's settings, and of a set of defaults': where HAProxy accepts, servers, checks, and how clients
stay with a server. Pure.

None, and an empty text or list, means that nothing is said: what is behind counts, for a service its set of defaults.
Durations are in milliseconds.
"""

from __future__ import annotations

from typing import Literal

from hactl.model.options import Sparse

CheckKind = Literal["tcp", "http", "mysql", "pgsql", "redis", "ldap", "smtp", "tls", "none"]


class BindTls(Sparse, frozen=True):
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


class BindOptions(Sparse, frozen=True):
    """One `bind`. `address`: `10.0.0.30:5000`, `[fd00::30]:5000`, `*:80`, a range of ports `10.0.0.30:6080-6082`, or,
    word for word, what HAProxy knows else (`/run/x.sock`, `abns@x`). `accept_proxy`: who connects speaks the PROXY
    protocol. `words`: further words of HAProxy's."""

    address: str
    tls: BindTls | None = None
    accept_proxy: bool = False
    words: str = ""


class ServerTls(Sparse, frozen=True):
    """TLS to the servers. `verify: required` needs `ca_file`. `sni`: an expression of HAProxy's such as
    `str(api.example.org)`. `certificate`: the client's own."""

    verify: Literal["none", "required"] = "required"
    ca_file: str = ""
    verify_host: str = ""
    sni: str = ""
    alpn: str = ""
    certificate: str = ""


class ServerOptions(Sparse, frozen=True):
    """The settings of all servers of a service (`default-server`). `dead_peer_ms`: how long data sent to a server may
    stay unacknowledged by its kernel before the connection counts as broken (TCP_USER_TIMEOUT): finds a node that lost
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


class ListedServer(Sparse, frozen=True):
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


class AgentCheck(Sparse, frozen=True):
    """A program at the server that says its weight and state (`agent-check`). `send`: what it is sent first."""

    port: int
    inter_ms: int | None = None
    send: str = ""


class CheckOptions(Sparse, frozen=True):
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


class Timeouts(Sparse, frozen=True):
    """`connect_ms` is short by default because servers are on the cluster's network: a SYN without an answer is a dead
    node or a lost packet, and either is cured sooner by another server than by waiting. `client_ms`,
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


class Cookie(Sparse, frozen=True):
    """A client stays with its server by a cookie; its value is the server's name. `words`: further words
    (`httponly secure maxidle 30m`)."""

    name: str
    mode: Literal["insert", "rewrite", "prefix"] = "insert"
    indirect: bool = True
    nocache: bool = True
    words: str = ""


class Stick(Sparse, frozen=True):
    """A client stays with its server by a table. `on`: what it is known by, a sample of HAProxy's (`src`). `type`:
    of that (`ip`, `ipv6`, `string len 32`). `size`: entries, as HAProxy writes it (`100k`). `shared`: the balancers
    of all nodes have the same table (by `peers`). `lines`: further `stick …` lines, word for word."""

    on: str = "src"
    type: str = "ip"
    size: str = "100k"
    expire_ms: int = 1_800_000
    shared: bool = True
    lines: tuple[str, ...] = ()


class StatsPage(Sparse, frozen=True):
    """HAProxy's own page, in a service of `mode: http`. `userlist`: who may see it."""

    uri: str = "/haproxy"
    refresh_ms: int | None = 10_000
    userlist: str = ""
    admin: bool = False


class Probe(Sparse, frozen=True):
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
