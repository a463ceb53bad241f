"""The common part of all documents in etcd: to and from JSON (docs/protocol.md, *Keys in etcd*).

Every document is read by the types of its fields, once, here: one that does not fit them is refused with RecordError,
which names the key, and nothing else is ever raised. Unknown fields are a later version's. They are ignored, and kept
where a document is changed with `dataclasses.replace`; a document that is made anew begins without them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar, Self

import msgspec

from election.text import printable

# How deep the free fields of a document may be nested, and how much of a text is left when a document is too large.
DEEPEST = 32
CLIPPED = 300

# How nodes, groups and services are named (hactl.config.fields).
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"

# How fields are called in documents, where the code has another name: what is stored does not change.
STORED_NAMES = {
    "session_id": "sid",
    "session_revision": "srev",
    "deposed_revision": "deposed_rev",
    "from_session_revision": "from_srev",
}

Name = Annotated[str, msgspec.Meta(pattern=rf"^{NAME}\Z")]
NameOrNone = Annotated[str, msgspec.Meta(pattern=rf"^({NAME})?\Z")]
Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Generation = Annotated[int, msgspec.Meta(ge=0, le=(1 << 18) - 1)]
# A lease that is longer than a week is none (hactl.decide.timing refuses it, too).
LONGEST_LEASE_MS = 7 * 86_400_000
LeaseMs = Annotated[int, msgspec.Meta(gt=0, le=LONGEST_LEASE_MS)]


class RecordError(ValueError):
    """A document in the store is not what it should be."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{printable(key)}: {printable(problem)}")
        self.key, self.problem = key, printable(problem)


@dataclass(frozen=True, slots=True)
class Record:
    """The part common to all documents. `unknown`: fields of a later version. `limit`: the longest of the kind."""

    limit: ClassVar[int] = 1 << 16

    unknown: Mapping[str, Any] | None = field(default=None, compare=False, repr=False, kw_only=True)

    def to_json(self) -> str:
        """The document as it is stored; texts are cut where it would be too large to be read again."""
        plain = {stored: getattr(self, name) for stored, name in _names(type(self)).items()}
        if self.unknown:
            plain.update(self.unknown)
        text = _encode(plain)
        return text if len(text) <= self.limit else _encode(_tidy(plain, CLIPPED))

    @classmethod
    def from_json(cls, text: str, key: str = "record") -> Self:
        """Read a document. Raises RecordError, naming `key`."""
        if len(text) > cls.limit:
            raise RecordError(key, f"is longer than the {cls.limit} characters that it may have")
        try:
            raw = _DECODER.decode(text)
            if not isinstance(raw, dict):
                raise RecordError(key, "is not a JSON object")
            names = _names(cls)
            unknown = {name: raw.pop(name) for name in raw.keys() - names.keys()}
            record = msgspec.convert({names[stored]: value for stored, value in raw.items()}, cls)
        except msgspec.ValidationError as error:
            raise RecordError(key, _CODE_NAMES.sub(lambda name: STORED_NAMES[name[0]], str(error))) from None
        except RecursionError:
            raise RecordError(key, "is nested too deeply") from None
        except UnicodeEncodeError:
            raise RecordError(key, "is not UTF-8") from None
        except msgspec.DecodeError as error:
            raise RecordError(key, f"is not JSON: {error}") from None
        problem = "is nested too deeply" if unknown and too_deep(unknown) else record.problem()
        if problem:
            raise RecordError(key, problem)
        return replace(record, unknown=unknown) if unknown else record

    def problem(self) -> str:
        """The fault of a document whose fields all are of their types; empty: it has none."""
        return ""


_DECODER, _ENCODER = msgspec.json.Decoder(), msgspec.json.Encoder(enc_hook=str)
_CODE_NAMES = re.compile(rf"\b({'|'.join(STORED_NAMES)})\b")


_FIELDS: dict[type, dict[str, str]] = {}


def _names(cls: type[Record]) -> dict[str, str]:
    """The fields of a document: their stored names, and those in the code."""
    if (names := _FIELDS.get(cls)) is None:
        known = (each.name for each in fields(cls) if each.name != "unknown")
        names = _FIELDS[cls] = {STORED_NAMES.get(name, name): name for name in known}
    return names


def _encode(plain: dict[str, Any]) -> str:
    try:
        return _ENCODER.encode(plain).decode()
    except UnicodeEncodeError:  # bytes of another program that were no UTF-8
        return _ENCODER.encode(_tidy(plain, None)).decode()


def _tidy(value: Any, length: int | None) -> Any:
    """A copy with every text as UTF-8, and cut to `length`."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()[:length]
        case Mapping():
            return {_tidy(name, length): _tidy(inner, length) for name, inner in value.items()}
        case list() | tuple():
            return [_tidy(inner, length) for inner in value]
    return value


def too_deep(value: Any) -> bool:
    """Whether mappings and lists in it are nested deeper than DEEPEST."""
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for value in level if isinstance(value, dict | list) for inner in _inner(value)]
        if not level:
            return False
    return True


def _inner(container: Any) -> Any:
    return container.values() if isinstance(container, dict) else container
