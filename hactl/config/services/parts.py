"""The shape of the parts of a service in cluster.yaml: where it accepts, its servers, how clients stay with one."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from hactl.config.fields import FilePath, HttpPath, Line, Part, Port, WholeDuration, WholeDurationOrZero, setting, wrong
from hactl.config.services import fields
from hactl.model import service_parts as of
from hactl.model.service import BUILT_IN

# For their defaults.
_COOKIE, _STICK, _STATS, _PROBE = of.Cookie(""), of.Stick(), of.StatsPage(), of.Probe("tcp")

TlsVersion = Literal["", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"]


class BindTls(Part):
    """TLS connections that HAProxy ends."""

    OF: ClassVar[Any] = of.BindTls
    certificates: list[FilePath] = setting(
        "PEM files with a certificate and its key, or directories of such files", [], examples=[["/etc/x.pem"]]
    )
    crt_list: fields.FilePathOrEmpty = setting("a file that lists certificates", "")
    ca_file: fields.FilePathOrEmpty = setting("the authorities that sign the clients' certificates", "")
    verify: Literal["", "none", "optional", "required"] = setting("whether clients must show a certificate", "")
    alpn: Line = setting("protocols to offer, such as `h2,http/1.1`", "")
    min_version: TlsVersion = setting("the oldest version of TLS that is accepted", "")
    ciphers: Line = setting("ciphers up to TLS 1.2, in OpenSSL's notation", "")
    ciphersuites: Line = setting("ciphers of TLS 1.3", "")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.certificates and not self.crt_list:
            raise wrong("has neither `certificates` nor `crt_list`", "give one: `certificates: [/etc/hactl/x.pem]`")
        if self.verify in ("optional", "required") and not self.ca_file:
            raise wrong(f"has `verify: {self.verify}` without `ca_file`", "name the file with the authorities")
        return self


class Bind(Part):
    """An address at which HAProxy accepts connections. In place of the mapping the address alone."""

    OF: ClassVar[Any] = of.BindOptions
    SHORT: ClassVar[bool] = True
    address: fields.BindAddress = setting(
        "address and port, or ports; `*` for all addresses; or a path, or `abns@NAME`", examples=["10.0.0.30:5000"]
    )
    tls: BindTls | None = setting("connections here use TLS, which HAProxy ends", None)
    accept_proxy: bool = setting("whether clients speak the PROXY protocol", False)
    words: Line = setting("further words of the `bind` line, put word for word", "")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        return {"address": fields.bind_address(given)} if isinstance(given, str) else given


class ServerTls(Part):
    """TLS to the servers."""

    OF: ClassVar[Any] = of.ServerTls
    verify: Literal["none", "required"] = setting(
        "whether the server's certificate must be valid", of.ServerTls().verify
    )
    ca_file: Line = setting("the authorities that sign the servers' certificates: a file, or `@system-ca`", "")
    verify_host: Line = setting("the name that the certificate must have", "")
    sni: Line = setting("the server name to send, as an expression: `str(api.example.org)`", "")
    alpn: Line = setting("protocols to offer", "")
    certificate: fields.FilePathOrEmpty = setting("HAProxy's own certificate with its key: a PEM file", "")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.verify == "required" and not self.ca_file:
            raise wrong("has `verify: required` without `ca_file`", "name the file, or write `verify: none`")
        return self


class Server(Part):
    """The settings of all servers of a service."""

    OF: ClassVar[Any] = of.ServerOptions
    BUILT_IN: ClassVar[object] = BUILT_IN.server
    maxconn: int | None = setting("connections to each server at the same time; 0: no limit", None, ge=0)
    maxqueue: int | None = setting("requests that may wait for each server; 0: no limit", None, ge=0)
    weight: int | None = setting("the weight of servers that have none of their own", None, ge=0, le=256)
    slowstart: WholeDuration | None = setting("a server that comes back gets its full share only after this time", None)
    send_proxy: Literal["", "v1", "v2"] | None = setting(
        "the version of the PROXY protocol that names the client to the server; empty: none", None
    )
    tls: ServerTls | None = setting("HAProxy connects to the servers by TLS", None)
    shutdown_sessions: bool | None = setting(
        "whether connections are cut when their server goes down; with `writer: elected`: yes, unless set to `false`",
        None,
    )
    dead_peer: WholeDuration | None = setting(
        "how long sent data may stay unacknowledged before the connection counts as broken", None
    )
    words: Line = setting("further words of the `default-server` line, put word for word", "")


class ListedServer(Part):
    """A server that is not a node of the cluster."""

    OF: ClassVar[Any] = of.ListedServer
    name: fields.HaproxyName = setting("unique in the service", examples=["old1"])
    address: fields.ServerAddress = setting("an IP address, a name, a path, or `abns@NAME`", examples=["10.0.0.41"])
    port: int = setting("0: the port of the service", 0, ge=0, le=65535)
    weight: int | None = setting("its share of the connections; default: `server.weight`", None, ge=0, le=256)
    backup: bool = setting("whether it is used only when no other server is up", False)
    disabled: bool = setting("whether it is out of use", False)
    cookie: fields.WordOrEmpty = setting("its value of the cookie; default: its name", "")
    node: fields.NameOrEmpty = setting("the node that it runs on: it is drained with that node", "")
    words: Line = setting("further words of its `server` line, put word for word", "")


class Cookie(Part):
    """A client stays with its server by a cookie; the value is the server's name."""

    OF: ClassVar[Any] = of.Cookie
    name: fields.Word = setting("the name of the cookie", examples=["SERVERID"])
    mode: Literal["insert", "rewrite", "prefix"] = setting(
        "`insert`: HAProxy sets a cookie of its own; `rewrite`, `prefix`: it changes the one that the service sets",
        _COOKIE.mode,
    )
    indirect: bool = setting("whether HAProxy hides its cookie from the servers", _COOKIE.indirect)
    nocache: bool = setting("whether caches are told not to keep answers that set the cookie", _COOKIE.nocache)
    words: Line = setting("further words of the `cookie` line, such as `httponly secure maxidle 30m`", "")


class Stick(Part):
    """A client stays with its server by a table."""

    OF: ClassVar[Any] = of.Stick
    on: Line = setting("the key of the table: a sample expression of HAProxy", _STICK.on, min_length=1)
    type: Line = setting("the key's type: `ip`, `ipv6`, `integer`, `string len 32`", _STICK.type)
    size: fields.Size = setting("the number of entries, at most", _STICK.size)
    expire: WholeDuration = setting("how long an entry that is not used is kept", _STICK.expire_ms)
    shared: bool = setting("whether HAProxy on all nodes shares the table", _STICK.shared)
    lines: list[fields.Raw] = setting("further `stick` lines", [], examples=[["stick match src table t"]])


class StatsPage(Part):
    """HAProxy's statistics page."""

    OF: ClassVar[Any] = of.StatsPage
    uri: HttpPath = setting("the path of the page", _STATS.uri)
    refresh: WholeDuration | None = setting("how often the browser loads the page again", _STATS.refresh_ms)
    userlist: fields.HaproxyNameOrEmpty = setting(
        "the list of `haproxy.userlists` with the users who may see it; empty: everybody may", ""
    )
    admin: bool = setting("whether servers can be put out of use on the page", False)

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if self.admin and not self.userlist:
            raise wrong("has `admin: true` without `userlist`", "name the userlist of those who may")
        return self


class Probe(Part):
    """A test request through the service's VIP, made by the nodes that do not have the VIP."""

    OF: ClassVar[Any] = of.Probe
    kind: Literal["tcp", "http"] = setting("`tcp`: it connects; `http`: it requests `path`", examples=["http"])
    path: HttpPath = setting("the path to request", _PROBE.path)
    host: fields.WordOrEmpty = setting("the header Host; empty: the address", "")
    expect_status: fields.Statuses = setting("good statuses", _PROBE.expect_status)
    tls: bool = setting("whether it uses TLS; the certificate is not checked", False)
    interval: WholeDuration = setting("time between two requests", _PROBE.interval_ms)
    timeout: WholeDuration = setting("how long a request may take", _PROBE.timeout_ms)
    bind: fields.BindAddressOrEmpty = setting("one of `binds`; empty: the first one with an IP address", "")


class Agent(Part):
    """A program on the server that reports its weight and state."""

    OF: ClassVar[Any] = of.AgentCheck
    port: Port = setting("the port at which it listens", examples=[9777])
    inter: WholeDuration | None = setting("time between two queries", None)
    send: Line = setting("text that is sent to it first; `\\n` ends a line", "")


class ServiceTimeouts(Part):
    """How long HAProxy waits for clients and servers; `0ms`: no limit."""

    OF: ClassVar[Any] = of.Timeouts
    BUILT_IN: ClassVar[object] = BUILT_IN.timeouts
    connect: WholeDurationOrZero | None = setting(
        "time for a server to accept a connection; then another server is tried", None
    )
    client: WholeDurationOrZero | None = setting("silence of the client after which it is disconnected", None)
    server: WholeDurationOrZero | None = setting("silence of the server after which it is disconnected", None)
    queue: WholeDurationOrZero | None = setting("time to wait for a free server", None)
    http_request: WholeDurationOrZero | None = setting("time for a client to send all headers of a request", None)
    http_keep_alive: WholeDurationOrZero | None = setting("time to wait for the next request of a client", None)
    tunnel: WholeDurationOrZero | None = setting(
        "silence of both sides of a TCP connection or WebSocket; `0ms`: as `client` and `server`", None
    )
    client_fin: WholeDurationOrZero | None = setting("silence of a client that has closed its side", None)
    server_fin: WholeDurationOrZero | None = setting("silence of a server that has closed its side", None)
    tarpit: WholeDurationOrZero | None = setting(
        "how long a connection that a rule has refused by `tarpit` is held open", None
    )
