"""Health probes: what is asked of a resource, or of a group's address, beside the resource's own monitor. Pure.

Times are in milliseconds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from hactl.model.options import Options

Port = Annotated[int, Meta(ge=1, le=65535)]
SqlKind = Literal["mysql", "postgresql"]
SQL_PORTS: dict[SqlKind, int] = {"mysql": 3306, "postgresql": 5432}


class _Check(Options, frozen=True, tag_field="type"):
    """What is asked. `host` None: the machine itself, or, of a probe of a group, the group's first address."""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"type": self.__struct_config__.tag, **super().plain()}


class TcpCheck(_Check, frozen=True, tag="tcp"):
    """A connection; with `send` and `expect` a question and the regular expression of its answer."""

    port: Port
    host: str | None = None
    send: str | None = None
    expect: str | None = None

    def words(self) -> str:
        """What is asked, for people."""
        return f"tcp {_host_port(self.host, self.port)}"


class HttpCheck(_Check, frozen=True, tag="http"):
    """A GET of `url`. `host`: the name in the header `Host`, and that of the certificate. `header_files`: the files
    that hold values of headers."""

    url: str
    host: str | None = None
    status: tuple[int, ...] = (200,)
    body: str | None = None
    ca: str | None = None
    verify: bool = True
    headers: dict[str, str] = {}
    header_files: dict[str, str] = {}

    def words(self) -> str:
        """What is asked, for people."""
        return f"http {self.url}"


class SqlCheck(_Check, frozen=True, tag="sql"):
    """A query, by the database's own client. `port` None: the usual one. `expect`: of what it answers."""

    kind: SqlKind
    host: str | None = None
    port: Port | None = None
    socket: str | None = None
    user: str | None = None
    password_file: str | None = None
    database: str | None = None
    query: str = "SELECT 1"
    expect: str | None = None

    def words(self) -> str:
        """What is asked, for people."""
        return f"sql {self.kind} {self.socket or _host_port(self.host, self.port or SQL_PORTS[self.kind])}"


class CommandCheck(_Check, frozen=True, tag="command"):
    """A command that ends with status 0 while all is well."""

    command: Annotated[tuple[str, ...], Meta(min_length=1)]

    def words(self) -> str:
        """What is asked, for people."""
        return f"command {self.command[0]}"


class Rhythm(Options, frozen=True):
    """How often something is asked, and when the answers count. The first time is `start_delay_ms` and half an interval
    or more after the start. `fall`: so many bad answers in a row are a failure; `rise`: so many good ones after
    that are its end."""

    interval_ms: float = 10_000.0
    timeout_ms: float = 5_000.0
    start_delay_ms: float = 0.0
    rise: int = 1
    fall: int = 2

    @property
    def failure_ms(self) -> float:
        """How long it takes at most from the failure until it counts: `interval x fall + timeout`. The failure comes
        right after a good answer; the last question is answered by its timeout."""
        return self.interval_ms * self.fall + self.timeout_ms


class HealthProbe(Options, frozen=True):
    """A question that is asked again and again."""

    check: TcpCheck | HttpCheck | SqlCheck | CommandCheck
    rhythm: Rhythm = Rhythm()


def _host_port(host: str | None, port: int) -> str:
    host = host or "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
