"""The shape of `haproxy` in cluster.yaml: HAProxy itself, the same on every node."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, field_validator

from hactl.config.fields import HttpPath, Line, Part, Port, WholeDuration
from hactl.config.services.common import CommonSettings
from hactl.config.services.fields import Crypted, HaproxyName, Raw, SectionText
from hactl.model import haproxy as of
from hactl.model.service import Common

# For their defaults.
_EXPORTER, _GLOBAL = of.Exporter(), of.GlobalOptions()


class Defaults(CommonSettings):
    """A set of defaults. What it does not say is HAProxy's own: nothing comes from the built-in set."""

    OF: ClassVar[Any] = Common
    BUILT_IN: ClassVar[object] = None


class User(Part):
    """One who may see what a userlist guards."""

    OF: ClassVar[Any] = of.User
    name: HaproxyName = Field(description="as it is typed", examples=["admin"])
    password: Crypted = Field(description="as `openssl passwd -6` makes it, never in the clear", examples=["$6$…"])
    groups: list[HaproxyName] = Field(default=[], description="of the list")


class Exporter(Part):
    """HAProxy's own metrics for Prometheus, on each node's address."""

    OF: ClassVar[Any] = of.Exporter
    port: Port = Field(default=_EXPORTER.port, description="of the node's address")
    path: HttpPath = Field(default=_EXPORTER.path, description="where they are")


class Haproxy(Part):
    """HAProxy itself, the same on every node."""

    OF: ClassVar[Any] = of.GlobalOptions
    maxconn: int | None = Field(
        default=_GLOBAL.maxconn, ge=1, description="connections at one time; null: HAProxy's own"
    )
    nbthread: int = Field(default=_GLOBAL.nbthread, ge=0, le=64, description="threads; 0: one a core")
    hard_stop_after: WholeDuration | None = Field(
        default=_GLOBAL.hard_stop_after_ms,
        description="how long a process that a reload replaced may stay for its open connections; null: no limit",
    )
    user: Line = Field(default=_GLOBAL.user, description="what its workers become; empty: they stay root")
    group: Line = Field(default=_GLOBAL.group, description="and their group")
    log: list[Line] = Field(
        default=[*_GLOBAL.log],
        description="arguments of its `log` lines; empty: no log",
        json_schema_extra={"type": ["string", "array"]},
    )
    manage_sysctl: bool = Field(
        default=_GLOBAL.manage_sysctl,
        description="hactl sets net.ipv4.ip_nonlocal_bind, so that it can bind an address that is elsewhere",
    )
    peers_port: Port = Field(
        default=_GLOBAL.peers_port, description="of each node's address, for tables that are shared"
    )
    exporter: Exporter | None = Field(default=None, description="HAProxy's own metrics", examples=[{"port": 8405}])
    defaults: dict[HaproxyName, Defaults] = Field(
        default={}, description="sets of defaults by name, for the services that name one"
    )
    userlists: dict[HaproxyName, list[User]] = Field(default={}, description="who may see a page, by name")
    extra_global: list[Raw] = Field(default=[], description="lines put at the end of its `global` section")
    extra_defaults: list[Raw] = Field(default=[], description="lines put at the end of the built-in `defaults`")
    sections: list[SectionText] = Field(
        default=[], description="whole sections, word for word: proxies at the end, others before the services"
    )

    @field_validator("log", mode="before")
    @classmethod
    def _log_as_text(cls, given: Any) -> Any:
        """One text in place of a list; empty: no log."""
        return ([given] if given else []) if isinstance(given, str) else given

    def values(self) -> dict[str, Any]:
        """As the model has them."""
        values = super().values()
        return {**values, "defaults": values["defaults"] or None, "userlists": values["userlists"] or None}
