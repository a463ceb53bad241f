"""The common part of all settings: they are typed, cannot be changed, and are written as plain JSON. Pure.

What is stored or kept is decoded by these types (`msgspec.convert`); `plain` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from typing import Any

import msgspec

# Of fields of dataclasses that came after 0.1.0: written where they differ from their defaults only, so that what was
# stored stays the same.
LATER = {"later": True}


class Options(msgspec.Struct, frozen=True):
    """Settings. Written without those that are None."""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        values = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return {name: plain(value) for name, value in values if value is not None}


class Sparse(Options, frozen=True, forbid_unknown_fields=True):
    """Settings of which there are many: what differs from the defaults is written, and what is not known is refused."""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        names, defaults = self.__struct_fields__, self.__struct_defaults__
        required = len(names) - len(defaults)
        return {
            name: plain(getattr(self, name))
            for place, name in enumerate(names)
            if place < required or getattr(self, name) != defaults[place - required]
        }


def _is_left_out(value: Any, each: Field[Any]) -> bool:
    return "later" in each.metadata and getattr(value, each.name) == each.default


def plain(value: Any) -> Any:
    """Settings, and dataclasses that contain them, for JSON."""
    if isinstance(value, Options):
        return value.plain()
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value) if not _is_left_out(value, each)}
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value
