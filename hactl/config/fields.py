"""The types of the settings' values: each checks a value, and says how to fix a wrong one."""

from __future__ import annotations

import re
import shlex
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

Address = IPv4Address | IPv6Address

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
# No duration is longer than a year: neither clocks nor people count on more.
_LONGEST_MS, _LONGEST_NUMBER = 366 * 86_400_000, 40
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_INTERFACE = re.compile(r"[^\s/:]{1,15}")
_UNIT = re.compile(
    r"[A-Za-z0-9:_.\\@-]+\.(service|socket|device|mount|automount|swap|target|timer|path|slice|scope)", re.ASCII
)


class Strict(BaseModel):
    """The base of all parts of the schema: unknown keys and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def setting(description: str, default: Any = ..., **more: Any) -> Any:
    """A field with its description for people; without a default it must be given."""
    return Field(default, description=description, **more)


class Part(Strict):
    """A part of the settings. `OF`: the type of the model that it becomes, whose fields are the same but that durations
    end in `_ms`."""

    OF: ClassVar[Any]
    # A text may stand in place of the mapping.
    SHORT: ClassVar[bool] = False

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """For editors: the text, too."""
        mapping = handler(schema)
        return {"anyOf": [{"type": "string"}, mapping]} if cls.SHORT else mapping

    def made(self) -> Any:
        """That of the model."""
        return self.OF(**self.values())

    def values(self) -> dict[str, Any]:
        """The values of its fields that the model has here."""
        known = self.OF.__struct_fields__
        named = {name if name in known else f"{name}_ms": name for name in type(self).model_fields}
        return {field: _made(getattr(self, name)) for field, name in named.items() if field in known}


def _made(value: Any) -> Any:
    if isinstance(value, Part):
        return value.made()
    if isinstance(value, list):
        return tuple(_made(inner) for inner in value)
    if isinstance(value, dict):
        return {name: _made(inner) for name, inner in value.items()}
    return value


def needs_less_with_a_preset(schema: dict[str, Any]) -> None:
    """For a JSON Schema: settings that a preset gives are not required."""
    schema["anyOf"] = [{"required": ["preset"]}, {"required": schema.pop("required")}]


def wrong(problem: str, hint: str) -> PydanticCustomError:
    """The error of a check of ours: the problem, and how to fix it."""
    return PydanticCustomError("hactl", "{problem}; {hint}", {"problem": problem, "hint": hint})


def duration_ms(value: object) -> float:
    """A duration in ms from its text: a number with a unit, `250ms`, `3.7s`, `1m`, `2h`, `1d`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise wrong(f"{value} has no unit", f"write `{value}ms` or `{value}s`")
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise wrong(f"`{value}` is no duration", "write a number with ms, s, m, h or d: `250ms`, `3.7s`")
    ms = Decimal(match[1]) * _UNITS[match[2]] if len(match[1]) <= _LONGEST_NUMBER else _LONGEST_MS + 1
    if ms > _LONGEST_MS:
        raise wrong(f"`{value}` is too long a duration", "give one of 366d at most")
    return float(ms)


def _above_zero(value: object) -> float:
    ms = duration_ms(value)
    if ms <= 0:
        raise wrong("must be more than zero", "give a duration such as `250ms`")
    return ms


def _whole(value: object) -> int:
    ms = duration_ms(value)
    if not ms.is_integer():
        raise wrong(f"`{value}` is not a whole number of milliseconds", f"write `{round(ms)}ms`")
    return int(ms)


def _whole_above_zero(value: object) -> int:
    _above_zero(value)
    return _whole(value)


_SHAPE = WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s*(ms|s|m|h|d)$"})
Duration = Annotated[float, BeforeValidator(_above_zero), _SHAPE]
WholeDuration = Annotated[int, BeforeValidator(_whole_above_zero), _SHAPE]
WholeDurationOrZero = Annotated[int, BeforeValidator(_whole), _SHAPE]


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        hint = "use up to 63 letters, digits, `-`, `_` and `.`, the first a letter or digit"
        raise wrong(f"`{value}` is no name", hint)
    return value


def _one_line(value: str) -> str:
    if any(ord(char) < 32 for char in value):
        raise wrong("has a line break or control character", "write one line of text; lists hold several")
    return value


def _ip(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        hint = "give the address itself, such as 10.0.0.11: a name would make every failover depend on DNS"
        raise wrong(f"`{value}` is no IP address", hint) from None


def _interface(value: str) -> str:
    if not _INTERFACE.fullmatch(value) or value in (".", ".."):
        raise wrong(f"`{value}` is no network interface's name", "at most 15 characters, such as `eth0`")
    return value


def _vip(value: str) -> str:
    if "/" not in value:
        raise wrong(f"`{value}` has no prefix length", f"write `{value}/24`, with the length of its network")
    try:
        interface = ip_interface(value)
    except ValueError as error:
        raise wrong(f"`{value}` is no address with prefix length ({error})", "such as 10.0.0.30/24") from None
    for kind in ("loopback", "multicast", "unspecified"):
        if getattr(interface.ip, f"is_{kind}"):
            article = "the" if kind == "unspecified" else "a"
            raise wrong(f"{interface.ip} is {article} {kind} address", "give an address that a host can have")
    network = interface.network
    if network.num_addresses > 2 and interface.ip == network.network_address:
        raise wrong(f"{interface.ip} is the address of the network {network} itself", "give a host's address")
    if interface.version == 4 and network.num_addresses > 2 and interface.ip == network.broadcast_address:
        raise wrong(f"{interface.ip} is the broadcast address of {network}", "give a host's address")
    return str(interface)


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        raise wrong(f"`{value}` is no absolute path", "begin it with `/`")
    return _one_line(value)


def _unit(value: str) -> str:
    if not _UNIT.fullmatch(value):
        hint = f"write `{value}.service`" if re.fullmatch(r"[\w@-]+", value) else "such as `mariadb.service`"
        raise wrong(f"`{value}` is no systemd unit's name", hint)
    return value


def _argv_list(value: Any) -> Any:
    if isinstance(value, str):
        try:
            words = shlex.split(value)
        except ValueError:
            words = value.split()
        written = ", ".join(f'"{word}"' for word in words)
        raise wrong("is one text; no shell takes it apart", f"write the words as a list: [{written}]")
    return value


def _argv(value: list[str]) -> list[str]:
    if not value or not value[0]:
        raise wrong("is an empty command", 'such as ["/usr/bin/true"]')
    if any("\0" in word for word in value):
        raise wrong("has a NUL character", "leave it out")
    return value


def _http_path(value: str) -> str:
    if not re.fullmatch(r"/[\x21-\x7e]*", value):
        raise wrong(f"`{value}` is no path of a URL", "begin it with `/`, without spaces: `/healthcheck`")
    return value


Name = Annotated[str, AfterValidator(_name)]
Line = Annotated[str, AfterValidator(_one_line)]
IpAddress = Annotated[str, AfterValidator(_ip)]
InterfaceName = Annotated[str, AfterValidator(_interface)]
VipAddress = Annotated[str, AfterValidator(_vip)]
FilePath = Annotated[str, AfterValidator(_absolute)]
UnitName = Annotated[str, AfterValidator(_unit)]
Argv = Annotated[list[str], BeforeValidator(_argv_list), AfterValidator(_argv)]
HttpPath = Annotated[str, AfterValidator(_http_path)]
Port = Annotated[int, Field(ge=1, le=65535)]
