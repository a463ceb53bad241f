"""Reading the options of a resource, with errors that name the resource and the option."""

from __future__ import annotations

from typing import Any

from hactl.model.cluster import ResourceSpec
from hactl.resources.base import ResourceError


def text(spec: ResourceSpec, name: str) -> str:
    """An option that must be there, as text. Raises ResourceError."""
    value = spec.options.get(name)
    if not isinstance(value, str) or not value:
        raise ResourceError(f"{spec.name}: {name} is missing or is no text: {value!r}")
    return value


def argv(spec: ResourceSpec, name: str) -> list[str] | None:
    """An option that is a command as a list of words; None when it is not given. Raises ResourceError."""
    value: Any = spec.options.get(name)
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not value or not all(isinstance(word, str) for word in value):
        raise ResourceError(f"{spec.name}: {name} is not a list of words, such as [/usr/bin/true, --now]: {value!r}")
    return list(value)
