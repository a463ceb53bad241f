"""A resource of a group: its kind, and what every kind has."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from hactl.config.fields import Duration, Name, Strict, WholeDurationOrZero, setting, wrong
from hactl.config.resources.exec import Exec
from hactl.config.resources.haproxy import HaproxyInGroup
from hactl.config.resources.manifest import Manifest
from hactl.config.resources.mount import Mount
from hactl.config.resources.ocf import Ocf
from hactl.config.resources.probes import Probe
from hactl.config.resources.promote import Promote
from hactl.config.resources.systemd import Systemd
from hactl.config.resources.vip import Vip
from hactl.model import resources as of

# For their defaults.
_RESOURCE = of.HaproxySpec("", of.InGroupOptions())

# An address or a file is there at once or not at all; a service may take its time; a file system may have to be
# checked, or its data be written back.
_START_TIMEOUT_MS: dict[of.Kind, float] = {"vip": 5_000.0, "manifest": 5_000.0, "mount": 60_000.0, "haproxy": 10_000.0}
# So long the kubelet may take to start or stop a pod: twice a pod's usual grace period.
_POD_MS = 60_000.0
_STOP_TIMEOUT_MS: dict[of.Kind, float] = {"vip": 5_000.0, "mount": 60_000.0, "haproxy": 5_000.0}


class Resource(Strict):
    """A part of a group. Exactly one of `vip`, `systemd`, `exec`, `ocf`, `manifest`, `mount`, `haproxy`, `promote`
    gives its kind."""

    name: Name = setting("unique within its group", examples=["address"])
    vip: Vip | None = setting("an IP address", None, examples=[{"address": "10.0.0.30/24"}])
    systemd: Systemd | None = setting("a systemd unit", None, examples=[{"unit": "mariadb.service"}])
    exec: Exec | None = setting("commands", None, examples=[{"command": ["/usr/bin/x"]}])
    ocf: Ocf | None = setting("an OCF resource agent", None, examples=[{"agent": "heartbeat:Dummy"}])
    manifest: Manifest | None = setting("a file in a directory", None)
    mount: Mount | None = setting(
        "a file system", None, examples=[{"device": "/dev/vg0/db", "directory": "/var/lib/mysql"}]
    )
    haproxy: HaproxyInGroup | None = setting(
        "HAProxy; it must come after the addresses that it binds, in one group at most", None
    )
    promote: Promote | None = setting(
        "the promoted role of a resource that runs on every node", None, examples=[{"of": "db/redis"}]
    )
    start_timeout: Duration | None = setting(
        "how long its start may take; default: 30s, for `vip` and `manifest` 5s (with `running` 60s), for `haproxy` "
        "10s, for `mount` 60s, for `ocf` what its agent advises if that is longer",
        None,
        examples=["30s"],
    )
    stop_timeout: Duration | None = setting(
        "how long its orderly stop may take; default: 30s, for `vip` and `haproxy` 5s, for `mount` and a "
        "`manifest` with `gone` 60s, for `ocf` what "
        "its agent advises if that is longer",
        None,
        examples=["30s"],
    )
    monitor_interval: Duration = setting("time between two checks of its health", _RESOURCE.monitor_interval_ms)
    monitor_timeout: Duration = setting(
        "how long one check may take; default for `ocf`: what its agent advises if that is longer",
        _RESOURCE.monitor_timeout_ms,
    )
    monitor_start_delay: WholeDurationOrZero = setting(
        "how long its health is not checked after a start; its end is seen all the same", 0
    )
    monitor_rise: int = setting(
        "so many good checks in a row end a failure for which it waits to be restarted",
        _RESOURCE.monitor_rise,
        ge=1,
        le=100,
    )
    monitor_fall: int = setting(
        "so many bad checks in a row are a failure; what is certain, such as the end of a process, counts at once",
        _RESOURCE.monitor_fall,
        ge=1,
        le=100,
    )
    probes: list[Probe] = setting("more checks of its health, from the node where it runs", [])

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [kind for kind in of.KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            problem = f"is of several kinds: {', '.join(kinds)}" if kinds else "is of no kind"
            raise wrong(problem, f"give exactly one of {', '.join(of.KINDS)}")
        return self

    @property
    def kind(self) -> of.Kind:
        """Its kind."""
        return next(kind for kind in of.KINDS if getattr(self, kind) is not None)

    def spec(self) -> of.ResourceSpec:
        """The resource of the model, all defaults resolved."""
        kind = self.kind
        start = self.start_timeout or _START_TIMEOUT_MS.get(kind, _RESOURCE.start_timeout_ms)
        stop = self.stop_timeout or _STOP_TIMEOUT_MS.get(kind, _RESOURCE.stop_timeout_ms)
        if self.manifest is not None:
            start = self.start_timeout or (_POD_MS if self.manifest.running else start)
            stop = self.stop_timeout or (_POD_MS if self.manifest.gone else stop)
        options = getattr(self, kind).made()
        return of.SPECS[kind](
            self.name,
            options,
            start,
            stop,
            self.monitor_interval,
            self.monitor_timeout,
            float(self.monitor_start_delay),
            self.monitor_rise,
            self.monitor_fall,
            tuple(probe.spec() for probe in self.probes),
        )
