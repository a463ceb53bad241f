"""The shape of `services` in cluster.yaml.

The settings, their meaning and their defaults are those of `hactl/model/service.py`; a test holds the two
together. Here a duration has no `_ms` in its name and a unit in its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from hactl.config.fields import Line, Name, needs_less_with_a_preset, wrong
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
    name: Name = Field(description="unique; without: that of its preset", examples=["keystone"])
    kind: of.Kind = Field(
        default=_SERVICE.kind,
        description="`listen`: it accepts and has servers; `split`: likewise, as a frontend `NAME-front` and a "
        "backend; `frontend`: it only accepts; `backend`: it only has servers",
    )
    preset: Line = Field(
        default="",
        description="settings to begin with, see [presets](presets.md); all others here are over them",
        examples=["keystone"],
    )
    defaults: HaproxyNameOrEmpty = Field(
        default="", description="the set of `haproxy.defaults` for what is not given here; empty: the built-in one"
    )
    binds: list[Bind] = Field(
        default=[], description="where HAProxy accepts, on every node", examples=[["10.0.0.30:5000"]]
    )
    port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="where the service itself listens, on each node's address; 0: the port of the `bind`",
        examples=[5000],
    )
    members: bool = Field(default=_SERVICE.members, description="the nodes are its servers")
    nodes: list[Name] = Field(default=[], description="the nodes that run the service; empty: all")
    servers: list[ListedServer] = Field(default=[], description="further servers, outside the cluster")
    writer: Literal["", "elected"] = Field(
        default="", description="`elected`: the owner of `group` is the only server in use"
    )
    group: NameOrEmpty = Field(default="", description="the exclusive group of `writer: elected`")
    default_backend: HaproxyNameOrEmpty = Field(default="", description="the service whose servers are used")
    acls: list[Raw] = Field(default=[], description="`NAME CRITERION`", examples=[["api path_beg /v3"]])
    tcp_request: list[Raw] = Field(default=[], description="what follows `tcp-request`, in order")
    http_request: list[Raw] = Field(
        default=[], description="what follows `http-request`, in order", examples=[["deny if !api"]]
    )
    http_response: list[Raw] = Field(default=[], description="what follows `http-response`, in order")
    use_backend: list[Raw] = Field(default=[], description="`SERVICE if CONDITION`, the first that fits")
    cookie: Cookie | None = Field(default=None, description="a client stays with its server by a cookie")
    stick: Stick | None = Field(default=None, description="a client stays with its server by a table")
    stats: StatsPage | None = Field(default=None, description="HAProxy's own page is here")
    probe: Probe | None = Field(default=None, description="a request that is made through its VIP")
    enabled: bool = Field(default=_SERVICE.enabled, description="`false`: HAProxy knows nothing of it")
    extra_frontend: list[Raw] = Field(
        default=[], description="lines put at the end of the section that accepts, before `extra` where it is one"
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
        if (self.writer == "elected") != bool(self.group):
            hint = "give both, `writer: elected` and `group: NAME`, or none"
            raise wrong("has one of `writer` and `group`", hint)
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
