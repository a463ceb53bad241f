"""The settings of health probes, of a resource or of a group."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import model_validator

from hactl.config.fields import (
    Argv,
    Duration,
    FilePath,
    IpAddress,
    Line,
    Part,
    Port,
    Strict,
    WholeDurationOrZero,
    setting,
    wrong,
)
from hactl.decide.timing import format_ms
from hactl.model import probes as of

# For their defaults.
_RHYTHM = of.Rhythm()
_HTTP = of.HttpCheck("")
_SQL = of.SqlCheck("mysql")

_LONGEST_PATTERN = 500


def _pattern(value: str | None, name: str) -> None:
    """Refuse what is no regular expression."""
    if value is None:
        return
    if len(value) > _LONGEST_PATTERN:
        raise wrong(f"`{name}` has {len(value)} characters", f"give a pattern of {_LONGEST_PATTERN} at most")
    try:
        re.compile(value.encode())
    except (re.error, RecursionError, OverflowError) as error:
        hint = "put a backslash before each of . * + ? ( ) [ ] { } | ^ $ that stands for itself: `\\+PONG`"
        raise wrong(f"`{name}` is no regular expression ({error})", hint) from None


class TcpProbe(Part):
    """A connection, and perhaps a question and its answer."""

    OF: ClassVar[Any] = of.TcpCheck

    port: Port = setting("the port to connect to", examples=[5432])
    host: IpAddress | None = setting(
        "the address to connect to; default: 127.0.0.1, for a probe of a group its first VIP", None
    )
    send: str | None = setting("a text to send once connected; in double quotes `\\r\\n` ends a line", None)
    expect: str | None = setting(
        "a regular expression that must be found in the first 4 KiB of the answer; without it a connection is enough",
        None,
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        _pattern(self.expect, "expect")
        if self.send is not None and self.expect is None:
            raise wrong("has `send` without `expect`", 'give the answer, too: `expect: "PONG"`')
        return self


class HttpProbe(Part):
    """A GET request."""

    OF: ClassVar[Any] = of.HttpCheck

    url: Line = setting("its URL, with an IP address or `localhost`", examples=["http://127.0.0.1:9000/health"])
    host: Line | None = setting(
        "the name to ask for: in the header `Host`, and in the server's certificate; default: the address", None
    )
    status: list[int] = setting("the status codes that are good", list(_HTTP.status), min_length=1)
    body: str | None = setting("a regular expression that must be found in the first 16 KiB of the body", None)
    ca: FilePath | None = setting(
        "a PEM file with the authorities that sign the server's certificate; default: those of the system", None
    )
    verify: bool = setting("whether the server's certificate must be valid", _HTTP.verify)
    headers: dict[str, str] = setting("more headers, by their names", {})
    header_files: dict[str, FilePath] = setting(
        "headers whose values are in files that only root can read, such as `Authorization`", {}
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        _pattern(self.body, "body")
        self._check_url()
        for code in self.status:
            if not 100 <= code <= 599:
                raise wrong(f"`{code}` is no status code", "give numbers from 100 to 599")
        for name in (*self.headers, *self.header_files):
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
                raise wrong(f"`{name}` is no header's name", "use letters, digits and `-`")
        for name, value in self.headers.items():
            if re.search(r"[^\t\x20-\x7e]", value):
                raise wrong(f"the header `{name}` has a control character or one beyond ASCII", "write one line")
            if name.lower() in ("authorization", "cookie", "proxy-authorization"):
                hint = f"put its value into a file: `header_files: {{{name}: /etc/hactl/secrets/probe}}`"
                raise wrong(f"the header `{name}` is a secret, and everybody who may see the status reads it", hint)
        return self

    def _check_url(self) -> None:
        hint = "such as `http://127.0.0.1:9000/health`"
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise wrong(f"`{self.url}` is no URL ({error})", hint) from None
        if parts.scheme not in ("http", "https") or not re.fullmatch(r"[\x21-\x7e]+", self.url) or parts.username:
            raise wrong(f"`{self.url}` is no URL of http or https that could be asked for", hint)
        if host != "localhost" and not _is_address(host):
            problem = f"`{self.url}` has the name `{host}`: every check would depend on DNS"
            raise wrong(problem, f"write the address in the URL, and the name as `host: {host}`")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class SqlProbe(Part):
    """A query, asked by the database's own client: `mysql` (or `mariadb`), or `psql`."""

    OF: ClassVar[Any] = of.SqlCheck

    kind: of.SqlKind = setting("the database")
    host: IpAddress | None = setting(
        "the address to connect to; default: 127.0.0.1, for a probe of a group its first VIP", None
    )
    port: Port | None = setting("its port; default: 3306 for `mysql`, 5432 for `postgresql`", None)
    socket: FilePath | None = setting(
        "a unix socket in place of `host` and `port`: for `mysql` the socket, for `postgresql` its directory", None
    )
    user: Line | None = setting("the user to log in as; default: that of the daemon, root", None)
    password_file: FilePath | None = setting("a file with the password, that only root can read", None)
    database: Line | None = setting("the database to use", None)
    query: Line = setting("what to ask", _SQL.query)
    expect: str | None = setting(
        "a regular expression that must be found in the answer; without it any answer is good", None
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        _pattern(self.expect, "expect")
        if self.socket is not None and (self.host is not None or self.port is not None):
            raise wrong("has `socket` beside `host` or `port`", "give either the socket or the address")
        return self


class Probe(Strict):
    """A question that is asked again and again; `fall` bad answers in a row are a failure. Exactly one of `tcp`,
    `http`, `sql` and `command` says what is asked."""

    tcp: TcpProbe | None = setting("a TCP connection, and perhaps an answer", None, examples=[{"port": 5432}])
    http: HttpProbe | None = setting("an HTTP request", None, examples=[{"url": "http://127.0.0.1:9000/health"}])
    sql: SqlProbe | None = setting("a query to a database", None, examples=[{"kind": "postgresql"}])
    command: Argv | None = setting(
        "a command that ends with status 0 while all is well", None, examples=[["/usr/local/bin/check"]]
    )
    interval: Duration = setting("time from one question to the next", _RHYTHM.interval_ms)
    timeout: Duration = setting("how long an answer may take; not longer than `interval`", _RHYTHM.timeout_ms)
    start_delay: WholeDurationOrZero = setting(
        "how long nothing is asked after a start, for what takes long to be ready", 0
    )
    rise: int = setting("so many good answers in a row end a failure", _RHYTHM.rise, ge=1, le=100)
    fall: int = setting("so many bad answers in a row are a failure", _RHYTHM.fall, ge=1, le=100)

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        given = [name for name in ("tcp", "http", "sql", "command") if getattr(self, name) is not None]
        if len(given) != 1:
            problem = f"asks several questions: {', '.join(given)}" if given else "asks nothing"
            raise wrong(problem, "give exactly one of tcp, http, sql, command")
        if self.timeout > self.interval:
            problem = f"has timeout {format_ms(self.timeout)}, longer than interval {format_ms(self.interval)}"
            raise wrong(problem, f"lower timeout to {format_ms(self.interval)} or less, or raise interval")
        return self

    def spec(self) -> of.HealthProbe:
        """The probe of the model."""
        question = self.tcp or self.http or self.sql
        check = question.made() if question is not None else of.CommandCheck(tuple(self.command or ()))
        rhythm = of.Rhythm(self.interval, self.timeout, float(self.start_delay), self.rise, self.fall)
        return of.HealthProbe(check, rhythm)
