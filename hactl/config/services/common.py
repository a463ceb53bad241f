"""The shape of what a service and a set of defaults both have in cluster.yaml, checks among them."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from hactl.config.errors import suggest
from hactl.config.fields import HttpPath, Line, Part, Port, WholeDuration, wrong
from hactl.config.services.fields import HttpPathOrEmpty, Raw, StatusesOrEmpty, WordOrEmpty
from hactl.config.services.parts import Agent, Server, ServiceTimeouts
from hactl.model import service as of
from hactl.model.service_parts import CheckKind, CheckOptions

_HTTP_ONLY = ("method", "path", "expect_status")
# Balancing that needs, and that may have, an argument.
_NEEDS_ARGUMENT, _MAY_HAVE_ARGUMENT = ("hdr", "url_param"), ("hdr", "url_param", "uri", "random")
_ANY = re.compile(".*")
_ARGUMENTS = {
    "uri": re.compile(r"(whole|path-only|(len|depth) [0-9]+)( (whole|path-only|(len|depth) [0-9]+))*"),
    "random": re.compile(r"[1-9][0-9]?"),
    "hdr": re.compile(r"[!#$%&*+.^_`|~0-9A-Za-z-]+"),
    "url_param": re.compile(r"[^\s\"'\\#]+( check_post)?"),
}
_ARGUMENTS_HINT = (
    "`uri` has `whole`, `path-only`, `len N`, `depth N`; `random` a number; others the name of what they go by"
)
# Galera's clustercheck answers here, by HTTP.
_CLUSTERCHECK = 9200


class Check(Part):
    """How HAProxy sees whether a server is well. In place of the mapping a kind alone: `check: none`."""

    OF: ClassVar[Any] = CheckOptions
    SHORT: ClassVar[bool] = True
    BUILT_IN: ClassVar[object] = of.BUILT_IN.check
    kind: CheckKind | None = Field(
        default=None,
        description="`tcp`: it accepts; `http`: it answers; `mysql`, `pgsql`: it greets `user`; `redis`: it has `role`;"
        " `ldap`, `smtp`, `tls`: it says hello; `none`: not looked at",
    )
    http: HttpPath | None = Field(
        default=None, description="short for `kind: http` with this `path`", examples=["/healthcheck"]
    )
    method: WordOrEmpty = Field(
        default="", description="of `http`; empty: `GET`, unless `lines` say what is sent", examples=["HEAD"]
    )
    path: HttpPathOrEmpty = Field(
        default="", description="of `http`: answers well while the server is well; empty: `/`, likewise"
    )
    host: WordOrEmpty = Field(default="", description="of `http`: the header Host; of `smtp`: who says EHLO")
    expect_status: StatusesOrEmpty = Field(
        default="", description="of `http`: what is a good answer, such as `200` or `200-399`; empty: 2xx and 3xx"
    )
    user: WordOrEmpty = Field(default="", description="of `mysql`, `pgsql`: who logs in, without password")
    role: Literal["", "master", "slave"] = Field(default="", description="of `redis`; empty: it answers")
    port: Port | None = Field(default=None, description="where to look, if not where it serves")
    address: WordOrEmpty = Field(default="", description="likewise")
    tls: bool | None = Field(default=None, description="whether by TLS; without: as the traffic")
    sni: Line = Field(default="", description="the name that is asked for by TLS")
    send_proxy: bool | None = Field(default=None, description="whether it begins with the PROXY protocol")
    agent: Agent | None = Field(default=None, description="a program at the server that says its weight and state")
    observe: bool | None = Field(
        default=None, description="a connection that fails counts as a failed check, and hurries the next"
    )
    inter: WholeDuration | None = Field(default=None, description="between checks of a server that is up")
    fastinter: WholeDuration | None = Field(default=None, description="between checks while it goes up or down")
    downinter: WholeDuration | None = Field(default=None, description="between checks while it is down")
    rise: int | None = Field(default=None, ge=1, description="good answers in a row that make it up")
    fall: int | None = Field(default=None, ge=1, description="bad ones in a row that make it down")
    timeout: WholeDuration | None = Field(default=None, description="how long a connected server may take to answer")
    lines: list[Raw] = Field(
        default=[], description="of `tcp`, `http`: `tcp-check` and `http-check` lines, word for word, in order"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        kinds = get_args(CheckKind)
        if isinstance(given, str) and given not in kinds:
            raise wrong(f"`{given}` is no kind of check", suggest(given, kinds))
        return {"kind": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _fits(self) -> Self:
        kind = self.kind or ("tcp" if self.http is None else "http")
        if self.http is not None and self.kind not in (None, "http"):
            raise wrong(f"has `http` and `kind: {self.kind}`", "leave out one of them")
        if self.http is not None and self.path not in ("", self.http):
            raise wrong("has both `http` and `path`", "leave out one of them")
        if kind == "mysql" and self.port == _CLUSTERCHECK:
            raise wrong(
                "speaks MySQL to port 9200, where Galera's clustercheck answers by HTTP",
                "write `check: {kind: http, port: 9200}`",
            )
        if kind == "pgsql" and not self.user:
            raise wrong("is of kind pgsql without `user`", "name a user that may connect: `user: haproxy`")
        self._only("http", kind, _HTTP_ONLY)
        self._only("redis", kind, ("role",))
        if self.lines and kind not in ("tcp", "http"):
            raise wrong(f"is of kind {kind} and has `lines`", "write `kind: tcp`, or `kind: http`")
        if self.lines and self.host and kind == "http":
            raise wrong("has both `lines` and `host`", "put the header into the line `http-check send … hdr Host NAME`")
        if self.user and kind not in ("mysql", "pgsql"):
            raise wrong(f"is of kind {kind} and has `user`", "write `kind: mysql` or `kind: pgsql`, or leave it out")
        if self.host and kind not in ("http", "smtp"):
            raise wrong(f"is of kind {kind} and has `host`", "write `kind: http`, or leave it out")
        return self

    def _only(self, wanted: str, kind: str, names: tuple[str, ...]) -> None:
        for name in names:
            if kind != wanted and getattr(self, name) != type(self).model_fields[name].default:
                raise wrong(f"is of kind {kind} and has `{name}`", f"write `kind: {wanted}`, or leave it out")

    def values(self) -> dict[str, Any]:
        """As the model has them: `http` is its kind and path."""
        values = super().values()
        return values if self.http is None else {**values, "kind": "http", "path": self.http}


class CommonSettings(Part):
    """What both have."""

    BUILT_IN: ClassVar[object] = of.BUILT_IN
    mode: of.Mode | None = Field(default=None, description="what HAProxy takes it for")
    balance: of.Balance | None = Field(default=None, description="how HAProxy chooses a server")
    balance_by: Line = Field(
        default="", description="of `hdr`: the header; of `url_param`: the parameter; of `uri`, `random`: its arguments"
    )
    hash_type: Line | None = Field(default=None, description="how `source`, `uri` and such choose: `consistent`")
    retries: int | None = Field(default=None, ge=0, description="further attempts to connect")
    redispatch: bool | None = Field(default=None, description="each of them is made on another server")
    maxconn: int | None = Field(default=None, ge=0, description="connections at one time; 0: as many as the process's")
    keep_alive: Literal["close", "keep", "none"] | None = Field(
        default=None,
        description="of connections when an answer is over, with `mode: http`: the server's is closed, none, or both",
    )
    idle_close_on_response: bool | None = Field(
        default=None,
        description="`mode: http`: a reload ends the clients' idle connections after one more answer, none unannounced",
    )
    forwardfor: bool | None = Field(default=None, description="`mode: http`: X-Forwarded-For names the client")
    dontlognull: bool | None = Field(default=None, description="connections without data are not logged")
    tcp_keepalive: bool | None = Field(default=None, description="silent dead peers are found in about ten seconds")
    all_backups: bool | None = Field(default=None, description="when no other server is up all `backup` ones serve")
    detailed_log: bool | None = Field(default=None, description="each connection or request is logged with its times")
    log: list[Line] | None = Field(
        default=None, description="arguments of `log` lines, beside those of the defaults; `[]`: no log"
    )
    log_format: Line | None = Field(default=None, description="as HAProxy writes it, one word or in quotes")
    timeouts: ServiceTimeouts = Field(default=ServiceTimeouts(), description="how long it waits")
    check: Check = Field(default=Check(), description="how it sees whether a server is well")
    server: Server = Field(default=Server(), description="what all servers have")
    extra: list[Raw] = Field(default=[], description="lines of HAProxy's language, put word for word at the end")

    @model_validator(mode="after")
    def _balanced(self) -> Self:
        if self.balance in _NEEDS_ARGUMENT and not self.balance_by:
            raise wrong(f"has `balance: {self.balance}` without `balance_by`", "say by which header or parameter")
        if self.balance_by and not _ARGUMENTS.get(self.balance or "", _ANY).fullmatch(self.balance_by):
            raise wrong(f"has `balance: {self.balance}` and `balance_by: {self.balance_by}`", _ARGUMENTS_HINT)
        if self.balance_by and self.balance not in _MAY_HAVE_ARGUMENT:
            raise wrong(
                f"has `balance_by` with `balance: {self.balance or 'roundrobin'}`",
                f"leave it out, or choose one of {', '.join(_MAY_HAVE_ARGUMENT)}",
            )
        return self
