"""Resources, services and HAProxy's settings, decoded from plain mappings like those that are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hactl.model.haproxy import GlobalOptions
from hactl.model.resources import ResourceSpec
from hactl.model.service import Mode, ServiceOptions, ServiceSpec

# The options that each kind needs at least.
_LEAST: dict[str, dict[str, Any]] = {
    "vip": {"address": "192.0.2.30/24"},
    "systemd": {"unit": "x.service"},
    "exec": {"command": ["true"]},
    "ocf": {"agent": "heartbeat:Dummy"},
    "manifest": {"content": "{kind: Pod, metadata: {name: p}}"},
    "mount": {"device": "/dev/vg0/db", "directory": "/srv/db"},
    "haproxy": {},
    "promote": {
        "of": "db/program",
        "instance": {"name": "program", "kind": "exec", "options": {"command": ["true"]}},
        "promote": ["true"],
        "demote": ["true"],
        "role": ["true"],
    },
}


def resource_spec(name: str, kind: str, options: Mapping[str, Any] | None = None, **timings: float) -> Any:
    """A resource of the kind, with these options."""
    given = _LEAST[kind] if options is None else dict(options)
    return msgspec.convert({"name": name, "kind": kind, "options": given, **timings}, ResourceSpec)


def service_spec(
    name: str, binds: tuple[str, ...] = (), port: int = 80, mode: Mode = "tcp", **options: Any
) -> ServiceSpec:
    """A service with these options."""
    return ServiceSpec(name, binds, port, mode, msgspec.convert(options, ServiceOptions))


def haproxy_options(**options: Any) -> GlobalOptions:
    """HAProxy's own settings."""
    return msgspec.convert(options, GlobalOptions)
