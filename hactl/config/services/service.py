"""The shape of `services` in cluster.yaml.

The settings, their meaning and their defaults are those of `hactl/model/service.py`; a test holds the two
together. Here a duration has no `_ms` in its name and a unit in its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, model_validator

from hactl.config.fields import Line, Name, needs_less_with_a_preset, setting, wrong
from hactl.config.services.common import CommonSettings
from hactl.config.services.fields import HaproxyNameOrEmpty, NameOrEmpty, Raw
from hactl.config.services.haproxy import Haproxy
from hactl.config.services.parts import Bind, Cookie, ListedServer, Probe, StatsPage, Stick
from hactl.model import service as of
from hactl.model.service_parts import BindOptions

# For their defaults.
_SERVICE = of.ServiceOptions()
_NOT_IN: Mapping[str, tuple[str, ...]] = {
    "backend": ("binds", "use_backend", "default_backend", "extra_frontend", "stats", "probe"),
    "frontend": ("servers", "nodes", "cookie", "stick", "writer"),
}


class Service(CommonSettings):
    """An active/active service behind HAProxy on every node."""

    model_config = ConfigDict(json_schema_extra=needs_less_with_a_preset)
    OF: ClassVar[Any] = of.ServiceOptions
    name: Name = setting("unique; default: the name of its preset", examples=["keystone"])
    kind: of.Kind = setting(
        "`listen`: one section that accepts connections and has servers; `split`: the same as a frontend `NAME-front` "
        "and a backend; `frontend`: only accepts; `backend`: only has servers",
        _SERVICE.kind,
    )
    preset: Line = setting(
        "the preset to begin with, see [presets](presets.md); all other settings here override it",
        "",
        examples=["keystone"],
    )
    defaults: HaproxyNameOrEmpty = setting(
        "the set of `haproxy.defaults` that gives the settings not set here; empty: the built-in set", ""
    )
    binds: list[Bind] = setting(
        "the addresses and ports at which HAProxy accepts connections, on every node", [], examples=[["10.0.0.30:5000"]]
    )
    port: int = setting(
        "the port at which the service itself listens, on each node's address; 0: the port of the `bind`",
        0,
        ge=0,
        le=65535,
        examples=[5000],
    )
    members: bool = setting("whether the nodes are its servers", _SERVICE.members)
    nodes: list[Name] = setting("the nodes that run the service; empty: all", [])
    servers: list[ListedServer] = setting("further servers, outside of the cluster", [])
    writer: Literal["", "elected"] = setting("`elected`: only the owner of `group` is in use as a server", "")
    group: NameOrEmpty = setting(
        "with `writer: elected`: the group whose owner is the writer; else a group with `run: all`: the servers follow "
        "its instances, see [clones](clones.md)",
        "",
    )
    default_backend: HaproxyNameOrEmpty = setting(
        "the service whose servers are used if no `use_backend` rule matches", ""
    )
    acls: list[Raw] = setting("conditions for rules: `NAME CRITERION`", [], examples=[["api path_beg /v3"]])
    tcp_request: list[Raw] = setting("rules, in order, each without its first word `tcp-request`", [])
    http_request: list[Raw] = setting(
        "rules, in order, each without its first word `http-request`", [], examples=[["deny if !api"]]
    )
    http_response: list[Raw] = setting("rules, in order, each without its first word `http-response`", [])
    use_backend: list[Raw] = setting("`SERVICE if CONDITION`; the first rule that matches is used", [])
    cookie: Cookie | None = setting("keeps each client on the same server by a cookie", None)
    stick: Stick | None = setting("keeps each client on the same server by a table", None)
    stats: StatsPage | None = setting("serves HAProxy's statistics page here", None)
    probe: Probe | None = setting("a test request through the service's VIP", None)
    enabled: bool = setting("`false`: HAProxy is not configured for it", _SERVICE.enabled)
    extra_frontend: list[Raw] = setting(
        "lines put at the end of the section that accepts connections; if that section has the servers too, before "
        "`extra`",
        [],
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        other = "frontend" if self.kind == "backend" else "backend"
        for name in _NOT_IN.get(self.kind, ()):
            if getattr(self, name):
                raise wrong(f"is of kind {self.kind} and has `{name}`", f"give that to the service of kind {other}")
        leads = self.default_backend or self.use_backend or self.stats or self.extra or self.http_request
        if self.kind == "frontend" and not leads:
            raise wrong("is of kind frontend and leads nowhere", "give it a `default_backend`")
        if self.writer == "elected" and not self.group:
            raise wrong("has `writer: elected` and no `group`", "add `group: NAME`: its owner is the writer")
        return self

    def values(self) -> dict[str, Any]:
        """As the model has them: `binds` only where they are more than addresses."""
        values = super().values()
        plain = tuple(BindOptions(bind.address) for bind in self.binds)
        return {**values, "binds": () if values["binds"] == plain else values["binds"]}

    def spec(self, haproxy: Haproxy | None = None) -> of.ServiceSpec:
        """The service of the model. `haproxy`: has the set of defaults that it names."""
        behind = haproxy.defaults.get(self.defaults) if haproxy else None
        mode = self.mode or (behind.mode if behind else None) or "tcp"
        return of.ServiceSpec(self.name, tuple(bind.address for bind in self.binds), self.port, mode, self.made())
