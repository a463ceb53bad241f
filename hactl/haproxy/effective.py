"""What is in force: a service's own settings, behind them those of its set of defaults. Pure."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from hactl.decide.timing import CheckTimes
from hactl.haproxy.mapping import global_options, service_options
from hactl.haproxy.options import BUILT_IN, CheckOptions, Common, GlobalOptions, OptionError, ServiceOptions, Timeouts
from hactl.model.cluster import ClusterSpec, ServiceSpec

Some = TypeVar("Some")

# Source: HAProxy's configuration manual, 2.6: `inter`, `fall`, `rise`.
HAPROXY = Common(mode="tcp", check=CheckOptions(inter_ms=2000, rise=2, fall=3), timeouts=Timeouts())


def defaults_of(options: ServiceOptions, globals_: GlobalOptions) -> Common:
    """The set of defaults that a service names. Raises OptionError where there is none of that name."""
    if not options.defaults:
        return BUILT_IN
    known = globals_.defaults or {}
    if options.defaults not in known:
        raise OptionError(f"defaults: no set is named {options.defaults}; known are {', '.join(known) or 'none'}")
    return known[options.defaults]


def merged(own: Some, behind: Some) -> Some:
    """`own`, and what it leaves open from `behind`."""
    found: dict[str, Any] = {}
    for one in fields(own):  # type: ignore[arg-type]
        value, other = getattr(own, one.name), getattr(behind, one.name)
        if is_dataclass(value) and is_dataclass(other):
            found[one.name] = merged(value, other)
        else:
            found[one.name] = other if value is None or value in ("", ()) else value
    return type(own)(**found)


def check_times(cluster: ClusterSpec, service: ServiceSpec) -> CheckTimes | None:
    """How a service's servers are checked, HAProxy's own times where none is given; None: they are not. Raises
    OptionError."""
    options = service_options(service)
    behind = merged(defaults_of(options, global_options(cluster)), HAPROXY)
    check, timeouts = merged(options.check, behind.check), merged(options.timeouts, behind.timeouts)
    if check.kind in (None, "none") or options.kind == "frontend" or not options.enabled:
        return None
    inter = check.inter_ms or 0
    return CheckTimes(inter, check.fastinter_ms or inter, check.fall or 0, timeouts.connect_ms or inter)
