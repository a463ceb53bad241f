"""The settings in force: a service's own, behind them those of its set of defaults. Pure."""

from __future__ import annotations

from typing import TypeVar

from hactl.decide.timing import CheckTimes
from hactl.model.cluster import ClusterSpec
from hactl.model.haproxy import GlobalOptions
from hactl.model.options import Options
from hactl.model.service import BUILT_IN, Common, ServiceOptions, ServiceSpec
from hactl.model.service_parts import CheckOptions

Settings = TypeVar("Settings", bound=Options)

# Source: HAProxy's configuration manual, 2.6: `inter`, `fall`, `rise`.
HAPROXY = Common(mode="tcp", check=CheckOptions(inter_ms=2000, rise=2, fall=3))


class OptionError(ValueError):
    """A setting names something that is not there. The message says which."""


def defaults_of(options: ServiceOptions, globals_: GlobalOptions) -> Common:
    """The set of defaults that a service names. Raises OptionError where there is none of that name."""
    if not options.defaults:
        return BUILT_IN
    known = globals_.defaults or {}
    if options.defaults not in known:
        raise OptionError(f"defaults: no set is named {options.defaults}; known are {', '.join(known) or 'none'}")
    return known[options.defaults]


def merged(own: Settings, behind: Settings) -> Settings:
    """`own`, and the settings that it leaves open from `behind`."""
    values = {}
    for name in own.__struct_fields__:
        value, other = getattr(own, name), getattr(behind, name)
        if isinstance(value, Options) and isinstance(other, Options):
            values[name] = merged(value, other)
        else:
            values[name] = other if value is None or value in ("", ()) else value
    return type(own)(**values)


def check_times(cluster: ClusterSpec, service: ServiceSpec) -> CheckTimes | None:
    """How a service's servers are checked, HAProxy's own times where none is given; None: they are not. Raises
    OptionError."""
    options = service.options
    behind = merged(defaults_of(options, cluster.haproxy), HAPROXY)
    check, timeouts = merged(options.check, behind.check), merged(options.timeouts, behind.timeouts)
    if check.kind in (None, "none") or options.kind == "frontend" or not options.enabled:
        return None
    inter = check.inter_ms or 0
    return CheckTimes(inter, check.fastinter_ms or inter, check.fall or 0, timeouts.connect_ms or inter)
