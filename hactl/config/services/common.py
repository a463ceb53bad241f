"""The settings that services and sets of defaults share in cluster.yaml, checks among them."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal, Self, get_args

from pydantic import model_validator

from hactl.config.errors import suggest
from hactl.config.fields import HttpPath, Line, Part, Port, WholeDuration, setting, wrong
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
    """How HAProxy checks a server's health. In place of the mapping a kind alone: `check: none`."""

    OF: ClassVar[Any] = CheckOptions
    SHORT: ClassVar[bool] = True
    BUILT_IN: ClassVar[object] = of.BUILT_IN.check
    kind: CheckKind | None = setting(
        "`tcp`: the server accepts a connection; `http`: it answers a request; `mysql`, `pgsql`: it greets `user`; "
        "`redis`: it has the role `role`; `ldap`, `smtp`, `tls`: it answers a greeting; `none`: no check",
        None,
    )
    http: HttpPath | None = setting("short form of `kind: http` with this `path`", None, examples=["/healthcheck"])
    method: WordOrEmpty = setting(
        "for `http`: the request's method; empty: `GET`, unless `lines` give the request", "", examples=["HEAD"]
    )
    path: HttpPathOrEmpty = setting(
        "for `http`: the path of a page that answers well while the server is well; empty: `/`, unless `lines` give "
        "the request",
        "",
    )
    host: WordOrEmpty = setting("for `http`: the header Host; for `smtp`: the name in the greeting EHLO", "")
    expect_status: StatusesOrEmpty = setting(
        "for `http`: good statuses, such as `200` or `200-399`; empty: 2xx and 3xx", ""
    )
    user: WordOrEmpty = setting("for `mysql` and `pgsql`: the user to log in as, without a password", "")
    role: Literal["", "master", "slave"] = setting("for `redis`: the role that the server must have; empty: any", "")
    port: Port | None = setting("the port to check, if it is not the one that serves", None)
    address: WordOrEmpty = setting("the address to check, if it is not the one that serves", "")
    tls: bool | None = setting("whether the check uses TLS; default: if the traffic does", None)
    sni: Line = setting("the server name that is sent in the TLS handshake", "")
    send_proxy: bool | None = setting("whether the check begins with the PROXY protocol", None)
    agent: Agent | None = setting("a program on the server that reports its weight and state", None)
    observe: bool | None = setting(
        "whether a failed connection counts as a failed check, and the next check comes sooner", None
    )
    inter: WholeDuration | None = setting("time between two checks of a server that is up", None)
    fastinter: WholeDuration | None = setting("time between two checks while the server goes up or down", None)
    downinter: WholeDuration | None = setting("time between two checks of a server that is down", None)
    rise: int | None = setting("number of good checks in a row after which a server is up", None, ge=1)
    fall: int | None = setting("number of failed checks in a row after which a server is down", None, ge=1)
    timeout: WholeDuration | None = setting("how long a server may take to answer once it is connected", None)
    lines: list[Raw] = setting("for `tcp` and `http`: `tcp-check` and `http-check` lines, word for word, in order", [])

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
    """The settings that services and sets of defaults share."""

    BUILT_IN: ClassVar[object] = of.BUILT_IN
    mode: of.Mode | None = setting("the protocol that HAProxy balances: `tcp` for any, or `http`", None)
    balance: of.Balance | None = setting("how HAProxy chooses a server", None)
    balance_by: Line = setting(
        "for `hdr`: the header; for `url_param`: the parameter; for `uri` and `random`: their arguments", ""
    )
    hash_type: Line | None = setting(
        "how `source`, `uri` and similar algorithms map to servers, such as `consistent`", None
    )
    retries: int | None = setting("how often HAProxy tries again to connect to a server", None, ge=0)
    redispatch: bool | None = setting("whether each of these attempts uses another server", None)
    maxconn: int | None = setting("connections at the same time; 0: no limit but that of the process", None, ge=0)
    keep_alive: Literal["close", "keep", "none"] | None = setting(
        "connections after an answer, with `mode: http`: `close`: that to the server is closed; `keep`: both stay "
        "open; `none`: both are closed",
        None,
    )
    idle_close_on_response: bool | None = setting(
        "with `mode: http`: a reload lets each idle client connection make one more request before it is closed", None
    )
    forwardfor: bool | None = setting("with `mode: http`: the header X-Forwarded-For names the client", None)
    dontlognull: bool | None = setting("connections without data are not logged", None)
    tcp_keepalive: bool | None = setting("dead peers of silent connections are found in about ten seconds", None)
    all_backups: bool | None = setting(
        "if no other server is up, all `backup` servers are used, not only the first", None
    )
    detailed_log: bool | None = setting("each connection or request is logged with its times", None)
    log: list[Line] | None = setting(
        "arguments of `log` lines, in addition to those of the defaults; `[]`: no log", None
    )
    log_format: Line | None = setting("as in HAProxy's configuration: one word, or in quotes", None)
    timeouts: ServiceTimeouts = setting("how long HAProxy waits", ServiceTimeouts())
    check: Check = setting("how HAProxy checks the servers' health", Check())
    server: Server = setting("settings of all servers", Server())
    extra: list[Raw] = setting("lines in HAProxy's language, put word for word at the end of the section", [])

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
