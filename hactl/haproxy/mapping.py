"""The settings' dataclasses from plain mappings, as the configuration is stored and sent, and back. Pure.

A mapping holds what differs from the dataclass's own defaults, lists in place of tuples, and so is the same after
a way through JSON.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from hactl.haproxy.options import GlobalOptions, OptionError, ServiceOptions
from hactl.model.cluster import ClusterSpec, ServiceSpec

Made = TypeVar("Made")
_Convert = Callable[[Any, str], Any]


def build(cls: type[Made], given: Mapping[str, Any], where: str) -> Made:
    """`cls` from what is given. Raises OptionError, beginning with `where`, for a key that is not known and for one
    that is missing."""
    converters: dict[str, _Convert] = _converters(cast(Any, cls))
    if unknown := sorted(set(given) - set(converters)):
        raise OptionError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(sorted(converters))}")
    values = {
        name: None if value is None else converters[name](value, f"{where}.{name}") for name, value in given.items()
    }
    try:
        return cls(**values)
    except TypeError as error:
        raise OptionError(f"{where}: {error}") from None


def mapping_of(made: Any) -> dict[str, Any]:
    """What `build` takes: all that is not the default."""
    found = {one.name: getattr(made, one.name) for one in fields(made)}
    defaults = {one.name: one.default for one in fields(made)}
    return {name: _plain(value) for name, value in found.items() if value != defaults[name]}


def service_options(service: ServiceSpec) -> ServiceOptions:
    """The settings of a service, whose name alone is not among them. Raises OptionError."""
    given = {"binds": [{"address": one} for one in service.binds], "port": service.port, **service.options}
    return build(ServiceOptions, given, f"service {service.name}")


def global_options(cluster: ClusterSpec) -> GlobalOptions:
    """The settings of HAProxy itself. Raises OptionError."""
    return build(GlobalOptions, cluster.haproxy, "haproxy")


def _nested(cls: type[Any], value: Any, where: str) -> Any:
    return value if isinstance(value, cls) else build(cls, value, where)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return mapping_of(value)
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return value


@functools.cache
def _converters(cls: Any) -> dict[str, _Convert]:
    hints = get_type_hints(cls)
    return {one.name: _converter(hints[one.name]) for one in fields(cls)}


def _converter(hint: Any) -> _Convert:
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _converter(next(one for one in inside if one is not type(None)))
    if origin is tuple:
        each = _converter(inside[0])
        return lambda value, where: tuple(each(one, f"{where}[{index}]") for index, one in enumerate(value))
    if origin is Mapping:
        each = _converter(inside[1])
        return lambda value, where: {name: each(one, f"{where}.{name}") for name, one in value.items()}
    if isinstance(hint, type) and is_dataclass(hint):
        return functools.partial(_nested, hint)
    return lambda value, _where: value
