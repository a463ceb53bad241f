"""The shape of `haproxy` in cluster.yaml: HAProxy itself, the same on every node."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import field_validator

from hactl.config.fields import HttpPath, Line, Part, Port, WholeDuration, setting
from hactl.config.services.common import CommonSettings
from hactl.config.services.fields import Crypted, HaproxyName, Raw, SectionText
from hactl.model import haproxy as of
from hactl.model.service import Common

# For their defaults.
_EXPORTER, _GLOBAL = of.Exporter(), of.GlobalOptions()


class Defaults(CommonSettings):
    """A set of defaults. A setting that is not given is HAProxy's own default, not that of the built-in set."""

    OF: ClassVar[Any] = Common
    BUILT_IN: ClassVar[object] = None


class User(Part):
    """A user of a userlist."""

    OF: ClassVar[Any] = of.User
    name: HaproxyName = setting("the user's name", examples=["admin"])
    password: Crypted = setting("a hash, as made by `openssl passwd -6`; never the password itself", examples=["$6$…"])
    groups: list[HaproxyName] = setting("the user's groups", [])


class Exporter(Part):
    """HAProxy's own metrics for Prometheus, on each node's address."""

    OF: ClassVar[Any] = of.Exporter
    port: Port = setting("the port on the node's address", _EXPORTER.port)
    path: HttpPath = setting("the path of the metrics", _EXPORTER.path)


class Haproxy(Part):
    """HAProxy itself, the same on every node."""

    OF: ClassVar[Any] = of.GlobalOptions
    maxconn: int | None = setting("connections at the same time; null: HAProxy's own default", _GLOBAL.maxconn, ge=1)
    nbthread: int = setting("number of threads; 0: one for each core", _GLOBAL.nbthread, ge=0, le=64)
    hard_stop_after: WholeDuration | None = setting(
        "how long the process that a reload has replaced may stay, for its open connections; null: no limit",
        _GLOBAL.hard_stop_after_ms,
    )
    user: Line = setting("the user of the worker processes; empty: they stay root", _GLOBAL.user)
    group: Line = setting("the group of the worker processes", _GLOBAL.group)
    log: list[Line] = setting(
        "arguments of `log` lines; empty: no log", [*_GLOBAL.log], json_schema_extra={"type": ["string", "array"]}
    )
    manage_sysctl: bool = setting(
        "whether hactl sets net.ipv4.ip_nonlocal_bind, so that HAProxy can bind a VIP that is on another node",
        _GLOBAL.manage_sysctl,
    )
    peers_port: Port = setting("the port, on each node's address, by which the nodes share tables", _GLOBAL.peers_port)
    exporter: Exporter | None = setting("serves HAProxy's own metrics", None, examples=[{"port": 8405}])
    defaults: dict[HaproxyName, Defaults] = setting(
        "sets of defaults by name; a service uses one by its setting `defaults`", {}
    )
    userlists: dict[HaproxyName, list[User]] = setting("lists, by name, of users who may see a page", {})
    extra_global: list[Raw] = setting("lines put at the end of the `global` section", [])
    extra_defaults: list[Raw] = setting("lines put at the end of the built-in `defaults` section", [])
    sections: list[SectionText] = setting(
        "whole sections, word for word; those of proxies come last, others before the services", []
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
