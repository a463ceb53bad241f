"""An OCF resource agent's description of itself. Pure: `catalog.py` runs the agents.

Source: the OCF resource agent API 1.0 and 1.1, *The meta-data action*, and their schemas.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from fencing.agents.description import MetadataError, is_true, one_line, read_xml
from fencing.agents.redact import is_secret
from fencing.agents.values import ValueKind

# What a resource cannot do without.
NEEDED = ("start", "stop", "monitor")

_KINDS: dict[str, ValueKind] = {
    "boolean": "boolean", "integer": "integer", "select": "select", "string": "string",
    "second": "time", "time": "time", "timeout": "time", "duration": "time", "msec": "time",
}  # fmt: skip
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(|ms|msec|us|usec|s|sec|m|min|h|hr)", re.IGNORECASE)
_UNIT_MS = {
    "": 1000.0, "ms": 1.0, "msec": 1.0, "us": 0.001, "usec": 0.001, "s": 1000.0, "sec": 1000.0, "m": 60_000.0,
    "min": 60_000.0, "h": 3_600_000.0, "hr": 3_600_000.0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class OcfParameter:
    """A parameter. `default` is None where it has none; `unique`: no two resources of the agent may have the same."""

    name: str
    kind: ValueKind = "string"
    required: bool = False
    default: str | None = None
    choices: tuple[str, ...] = ()
    unique: bool = False
    deprecated: bool = False
    description: str = ""

    @property
    def secret(self) -> bool:
        """Its value must not be shown to anybody."""
        return self.kind == "string" and is_secret(self.name, self.description)


@dataclass(frozen=True, slots=True)
class OcfAction:
    """Something that the agent can do, with its author's advice in ms: how long it may take, and how often it is asked
    (None: no advice). `depth`: the check level of a monitor; `role`: of which role it is."""

    name: str
    timeout_ms: float | None = None
    interval_ms: float | None = None
    depth: int = 0
    role: str = ""


@dataclass(frozen=True, slots=True)
class OcfMetadata:
    """An agent's description of itself. Texts are one line each."""

    name: str
    version: str
    summary: str
    description: str
    parameters: tuple[OcfParameter, ...]
    actions: tuple[OcfAction, ...]

    def parameter(self, name: str) -> OcfParameter | None:
        """The parameter of this name."""
        return next((known for known in self.parameters if known.name == name), None)

    def can(self, action: str) -> bool:
        """Whether it has this action."""
        return any(known.name == action for known in self.actions)

    @property
    def lacks(self) -> tuple[str, ...]:
        """The actions that it lacks to be a resource."""
        return tuple(action for action in NEEDED if not self.can(action))

    @property
    def promotable(self) -> bool:
        """Whether its instances can be promoted."""
        return self.can("promote") and self.can("demote")

    @property
    def secret_names(self) -> frozenset[str]:
        """The parameters whose values must not be shown."""
        return frozenset(parameter.name for parameter in self.parameters if parameter.secret)

    def advised_ms(self, action: str) -> float | None:
        """The longest that its author lets the action take; None: he does not say."""
        advice = [known.timeout_ms for known in self.actions if known.name == action and known.timeout_ms]
        return max(advice, default=None)


def parse(text: str) -> OcfMetadata:
    """Read an agent's metadata. Raises MetadataError."""
    root = read_xml(text)
    if root.tag != "resource-agent":
        raise MetadataError(f"its XML is a <{root.tag}>, not a <resource-agent>")
    if not root.get("name"):
        raise MetadataError("its XML does not say its name")
    actions = tuple(_action(node) for node in root.iterfind("actions/action") if node.get("name"))
    if not actions:
        raise MetadataError("its XML names no action")
    return OcfMetadata(
        name=root.get("name", ""),
        version=one_line(root.get("version") or ""),
        summary=one_line(root.findtext("shortdesc") or ""),
        description=one_line(root.findtext("longdesc") or ""),
        parameters=tuple(_parameter(node) for node in root.iterfind("parameters/parameter") if node.get("name")),
        actions=actions,
    )


def duration_ms(text: str | None) -> float | None:
    """A time as agents write it: `20s`, `20`, `1m`, `500ms`; None for what is none."""
    match = _TIME.fullmatch((text or "").strip())
    return float(match[1]) * _UNIT_MS[match[2].lower()] if match else None


def _parameter(element: ET.Element) -> OcfParameter:
    content = element.find("content")
    content = ET.Element("content") if content is None else content
    name = element.get("name", "")
    return OcfParameter(
        name=name,
        kind=_KINDS.get(content.get("type", ""), "string"),
        required=is_true(element.get("required")),
        default=content.get("default"),
        choices=tuple(option.get("value", "") for option in content.iterfind("option")),
        unique=is_true(element.get("unique")) or element.get("unique-group") == name,
        deprecated=element.find("deprecated") is not None or is_true(element.get("deprecated")),
        description=one_line(element.findtext("longdesc") or element.findtext("shortdesc") or ""),
    )


def _action(element: ET.Element) -> OcfAction:
    depth = element.get("depth") or "0"
    return OcfAction(
        name=element.get("name", ""),
        timeout_ms=duration_ms(element.get("timeout")),
        interval_ms=duration_ms(element.get("interval")),
        depth=int(depth) if depth.isdecimal() else 0,
        role=element.get("role") or "",
    )
