"""The options and actions of a fence agent, read from its metadata.

Pure: `catalog.py` runs the agents. Source: ClusterLabs' FenceAgentAPI, and `lib/metadata.rng` of fence-agents for the
elements and attributes.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Literal

from fencing.agents.description import MetadataError, is_true, one_line, read_xml
from fencing.agents.redact import is_secret

Kind = Literal["string", "boolean", "integer", "second", "select"]

_KINDS: dict[str, Kind] = {
    "boolean": "boolean", "integer": "integer", "second": "second", "select": "select", "string": "string",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameter:
    """An option. `default` is None where it has none; `replaces` is the older name of the same option, which is a
    parameter of its own, marked `deprecated`."""

    name: str
    kind: Kind = "string"
    required: bool = False
    default: str | None = None
    choices: tuple[str, ...] = ()
    deprecated: bool = False
    replaces: str | None = None
    description: str = ""

    @property
    def secret(self) -> bool:
        """Its value must not be shown to anybody."""
        return self.kind == "string" and is_secret(self.name, self.description)


@dataclass(frozen=True, slots=True)
class ActionInfo:
    """Something the agent can do. `automatic` (of `on`): a node that joins must be unfenced by it first, as with
    agents that cut a node off from its storage; `on_target`: by running it on that node itself."""

    name: str
    automatic: bool = False
    on_target: bool = False


@dataclass(frozen=True, slots=True)
class Metadata:
    """An agent's description of itself. Texts are one line each."""

    name: str
    summary: str
    description: str
    parameters: tuple[Parameter, ...]
    actions: tuple[ActionInfo, ...]

    def parameter(self, name: str) -> Parameter | None:
        """The option of this name; `-` and `_` are the same, as they are to the agents."""
        plain = name.replace("-", "_")
        same = [known for known in self.parameters if known.name.replace("-", "_") == plain]
        return next((known for known in same if known.name == name), same[0] if same else None)

    def can(self, action: str) -> bool:
        """Whether it has this action."""
        return any(info.name == action for info in self.actions)

    def newer_name(self, parameter: Parameter) -> str:
        """How a deprecated option is called now; its own name when nothing replaces it."""
        newer = (other.name for other in self.parameters if other.replaces == parameter.name)
        return next(newer, parameter.name) if parameter.deprecated else parameter.name

    @property
    def plug_option(self) -> str | None:
        """The option that says which of a device's machines is meant; None where a device has but one."""
        return next((name for name in ("plug", "port") if self.parameter(name)), None)

    @property
    def plug_required(self) -> bool:
        """Whether the agent does nothing without it."""
        known = self.parameter(self.plug_option) if self.plug_option else None
        return known is not None and known.required

    @property
    def verifiable(self) -> bool:
        """Whether an `off` can be confirmed by a `status`. Without that, no node can be called off by it."""
        return self.can("off") and self.can("status")

    @property
    def unfencing(self) -> ActionInfo | None:
        """The `on` that a node needs before it may be used again, if it needs one."""
        return next((action for action in self.actions if action.name == "on" and action.automatic), None)

    @property
    def secret_names(self) -> frozenset[str]:
        """The options whose values must not be shown."""
        return frozenset(parameter.name for parameter in self.parameters if parameter.secret)


def parse(text: str) -> Metadata:
    """Read an agent's metadata. Raises MetadataError."""
    root = read_xml(text)
    if root.tag != "resource-agent":
        raise MetadataError(f"its XML is a <{root.tag}>, not a <resource-agent>")
    if not root.get("name"):
        raise MetadataError("its XML does not say its name")
    parameters = tuple(_parameter(node) for node in root.iterfind("parameters/parameter") if node.get("name"))
    actions = tuple(_action(node) for node in root.iterfind("actions/action") if node.get("name"))
    if not actions:
        raise MetadataError("its XML names no action")
    # One program under several names tells what each of them is for.
    names = {node.get("name"): node.get("shortdesc") for node in root.iterfind("symlink")}
    summary = names.get(root.get("name")) or root.get("shortdesc") or root.findtext("shortdesc") or ""
    description = one_line(root.findtext("longdesc") or "")
    return Metadata(root.get("name", ""), one_line(summary), description, parameters, actions)


def _parameter(element: ET.Element) -> Parameter:
    content = element.find("content")
    content = ET.Element("content") if content is None else content
    return Parameter(
        name=element.get("name", ""),
        kind=_KINDS.get(content.get("type", ""), "string"),
        required=is_true(element.get("required")),
        default=content.get("default"),
        choices=tuple(option.get("value", "") for option in content.iterfind("option")),
        deprecated=is_true(element.get("deprecated")),
        replaces=element.get("obsoletes"),
        description=one_line(element.findtext("shortdesc") or element.findtext("longdesc") or ""),
    )


def _action(element: ET.Element) -> ActionInfo:
    return ActionInfo(element.get("name", ""), is_true(element.get("automatic")), is_true(element.get("on_target")))
