"""The shape of the parts of a service in cluster.yaml: where it accepts, its servers, how clients stay with one."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hactl.config.fields import FilePath, HttpPath, Line, Part, Port, WholeDuration, WholeDurationOrZero, wrong
from hactl.config.services.fields import (
    BindAddress,
    BindAddressOrEmpty,
    FilePathOrEmpty,
    HaproxyName,
    HaproxyNameOrEmpty,
    NameOrEmpty,
    Raw,
    ServerAddress,
    Size,
    Statuses,
    Word,
    WordOrEmpty,
    bind_address,
)
from hactl.model import service_parts as of
from hactl.model.service import BUILT_IN

# For their defaults.
_COOKIE, _STICK, _STATS, _PROBE = of.Cookie(""), of.Stick(), of.StatsPage(), of.Probe("tcp")

TlsVersion = Literal["", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"]


class BindTls(Part):
    """TLS that HAProxy ends."""

    OF: ClassVar[Any] = of.BindTls
    certificates: list[FilePath] = Field(
        default=[], description="PEM files with certificate and key, or directories of them", examples=[["/etc/x.pem"]]
    )
    crt_list: FilePathOrEmpty = Field(default="", description="a file that lists certificates")
    ca_file: FilePathOrEmpty = Field(default="", description="who signs the clients' certificates")
    verify: Literal["", "none", "optional", "required"] = Field(
        default="", description="whether clients show a certificate"
    )
    alpn: Line = Field(default="", description="protocols that are offered, such as `h2,http/1.1`")
    min_version: TlsVersion = Field(default="", description="the oldest TLS that is spoken")
    ciphers: Line = Field(default="", description="up to TLS 1.2, as OpenSSL writes them")
    ciphersuites: Line = Field(default="", description="of TLS 1.3")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.certificates and not self.crt_list:
            raise wrong("has neither `certificates` nor `crt_list`", "give one: `certificates: [/etc/hactl/x.pem]`")
        if self.verify in ("optional", "required") and not self.ca_file:
            raise wrong(f"has `verify: {self.verify}` without `ca_file`", "name the file with the authorities")
        return self


class Bind(Part):
    """Where HAProxy accepts. In place of the mapping the address alone."""

    OF: ClassVar[Any] = of.BindOptions
    SHORT: ClassVar[bool] = True
    address: BindAddress = Field(
        description="address and port or ports, `*` for all; or a path, `abns@NAME`", examples=["10.0.0.30:5000"]
    )
    tls: BindTls | None = Field(default=None, description="it ends TLS here")
    accept_proxy: bool = Field(default=False, description="who connects speaks the PROXY protocol")
    words: Line = Field(default="", description="further words of HAProxy's, put word for word")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        return {"address": bind_address(given)} if isinstance(given, str) else given


class ServerTls(Part):
    """TLS to the servers."""

    OF: ClassVar[Any] = of.ServerTls
    verify: Literal["none", "required"] = Field(
        default=of.ServerTls().verify, description="whether their certificate must be good"
    )
    ca_file: Line = Field(default="", description="who signs it: a file, or `@system-ca`")
    verify_host: Line = Field(default="", description="the name that must be in it")
    sni: Line = Field(default="", description="the name that is asked for, an expression: `str(api.example.org)`")
    alpn: Line = Field(default="", description="protocols that are offered")
    certificate: FilePathOrEmpty = Field(default="", description="HAProxy's own: a PEM file")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.verify == "required" and not self.ca_file:
            raise wrong("has `verify: required` without `ca_file`", "name the file, or write `verify: none`")
        return self


class Server(Part):
    """What all servers of a service have."""

    OF: ClassVar[Any] = of.ServerOptions
    BUILT_IN: ClassVar[object] = BUILT_IN.server
    maxconn: int | None = Field(default=None, ge=0, description="connections to each at one time; 0: no bound")
    maxqueue: int | None = Field(default=None, ge=0, description="requests that wait for each; 0: no bound")
    weight: int | None = Field(default=None, ge=0, le=256, description="of a server that has none of its own")
    slowstart: WholeDuration | None = Field(default=None, description="how long a server that came back gets less")
    send_proxy: Literal["", "v1", "v2"] | None = Field(
        default=None, description="it is told the client by the PROXY protocol; empty: not"
    )
    tls: ServerTls | None = Field(default=None, description="HAProxy speaks TLS to it")
    shutdown_sessions: bool | None = Field(
        default=None, description="connections are cut when it is found down; with `writer: elected` they are"
    )
    dead_peer: WholeDuration | None = Field(
        default=None, description="how long sent data may stay unacknowledged before the connection counts as broken"
    )
    words: Line = Field(default="", description="further words of its `default-server`, put word for word")


class ListedServer(Part):
    """A server that is no node of the cluster."""

    OF: ClassVar[Any] = of.ListedServer
    name: HaproxyName = Field(description="unique in the service", examples=["old1"])
    address: ServerAddress = Field(
        description="an IP address or a name; or a path, `abns@NAME`", examples=["10.0.0.41"]
    )
    port: int = Field(default=0, ge=0, le=65535, description="0: the service's")
    weight: int | None = Field(default=None, ge=0, le=256, description="its share; without: that of `server.weight`")
    backup: bool = Field(default=False, description="in use only when no other is up")
    disabled: bool = Field(default=False, description="not in use")
    cookie: WordOrEmpty = Field(default="", description="its value of the cookie; without: its name")
    node: NameOrEmpty = Field(default="", description="the node that it is on: drained with it")
    words: Line = Field(default="", description="further words of its line, put word for word")


class Cookie(Part):
    """A client stays with its server by a cookie; the value is the server's name."""

    OF: ClassVar[Any] = of.Cookie
    name: Word = Field(description="the cookie's", examples=["SERVERID"])
    mode: Literal["insert", "rewrite", "prefix"] = Field(
        default=_COOKIE.mode, description="HAProxy sets its own, or changes that of the service"
    )
    indirect: bool = Field(default=_COOKIE.indirect, description="servers do not see it")
    nocache: bool = Field(default=_COOKIE.nocache, description="caches do not keep answers that set it")
    words: Line = Field(default="", description="further words, such as `httponly secure maxidle 30m`")


class Stick(Part):
    """A client stays with its server by a table."""

    OF: ClassVar[Any] = of.Stick
    on: Line = Field(default=_STICK.on, min_length=1, description="what it is known by: a sample of HAProxy's")
    type: Line = Field(default=_STICK.type, description="of that: `ip`, `ipv6`, `integer`, `string len 32`")
    size: Size = Field(default=_STICK.size, description="entries, at most")
    expire: WholeDuration = Field(default=_STICK.expire_ms, description="how long one is kept that is not used")
    shared: bool = Field(default=_STICK.shared, description="the balancers of all nodes have the same table")
    lines: list[Raw] = Field(default=[], description="further `stick` lines", examples=[["stick match src table t"]])


class StatsPage(Part):
    """HAProxy's own page."""

    OF: ClassVar[Any] = of.StatsPage
    uri: HttpPath = Field(default=_STATS.uri, description="its path")
    refresh: WholeDuration | None = Field(default=_STATS.refresh_ms, description="how often the browser asks anew")
    userlist: HaproxyNameOrEmpty = Field(default="", description="who may see it")
    admin: bool = Field(default=False, description="servers can be taken out there")

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if self.admin and not self.userlist:
            raise wrong("has `admin: true` without `userlist`", "name the userlist of those who may")
        return self


class Probe(Part):
    """A request through the service's VIP, made by the nodes that do not have it."""

    OF: ClassVar[Any] = of.Probe
    kind: Literal["tcp", "http"] = Field(description="it connects, or asks for `path`", examples=["http"])
    path: HttpPath = Field(default=_PROBE.path, description="what is asked for")
    host: WordOrEmpty = Field(default="", description="the header Host; empty: the address")
    expect_status: Statuses = Field(default=_PROBE.expect_status, description="what is a good answer")
    tls: bool = Field(default=False, description="by TLS; the certificate is not checked")
    interval: WholeDuration = Field(default=_PROBE.interval_ms, description="between two")
    timeout: WholeDuration = Field(default=_PROBE.timeout_ms, description="how long one may take")
    bind: BindAddressOrEmpty = Field(default="", description="one of `binds`; empty: the first with an address")


class Agent(Part):
    """A program at the server that says its weight and state."""

    OF: ClassVar[Any] = of.AgentCheck
    port: Port = Field(description="where it listens", examples=[9777])
    inter: WholeDuration | None = Field(default=None, description="between two questions")
    send: Line = Field(default="", description="what it is sent first; `\\n` ends a line")


class ServiceTimeouts(Part):
    """How long HAProxy waits for whom; `0ms`: no limit."""

    OF: ClassVar[Any] = of.Timeouts
    BUILT_IN: ClassVar[object] = BUILT_IN.timeouts
    connect: WholeDurationOrZero | None = Field(
        default=None, description="for a server to accept; then another one is tried"
    )
    client: WholeDurationOrZero | None = Field(default=None, description="silence of the client")
    server: WholeDurationOrZero | None = Field(default=None, description="silence of the server")
    queue: WholeDurationOrZero | None = Field(default=None, description="for a free server")
    http_request: WholeDurationOrZero | None = Field(default=None, description="for the whole head of a request")
    http_keep_alive: WholeDurationOrZero | None = Field(default=None, description="for the next request of a client")
    tunnel: WholeDurationOrZero | None = Field(
        default=None, description="silence of both sides of a TCP connection or WebSocket; `0ms`: as client and server"
    )
    client_fin: WholeDurationOrZero | None = Field(default=None, description="silence of a client that closed its side")
    server_fin: WholeDurationOrZero | None = Field(default=None, description="silence of a server that closed its side")
    tarpit: WholeDurationOrZero | None = Field(default=None, description="how long a refused client is held")
