"""The fencing parts of cluster.yaml's shape: devices, and each node's levels of them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, WithJsonSchema, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from fencing.agents.options import as_text, is_reference, refused_text
from fencing.topology import Device, NodeFencing, SecretFile, Target, Topology
from fencing.topology import Level as LevelSpec
from hactl.config.fields import Duration, Line, Name, Strict, WholeDurationOrZero, wrong

_AGENT = re.compile(r"fence_[A-Za-z0-9_.+-]+|/\S+")


def _agent(value: str) -> str:
    if not _AGENT.fullmatch(value):
        hint = f"write `fence_{value}`" if re.fullmatch(r"[a-z0-9_]+", value) else "such as `fence_ipmilan`"
        raise wrong(f"`{value}` is no fence agent", f"{hint}, or an absolute path; `hactl fence agents` lists them")
    return value


def _value(value: object) -> str | SecretFile:
    if is_reference(value):
        if not value["file"].startswith("/"):
            raise wrong(f"`{value['file']}` is no absolute path", "begin it with `/`")
        return SecretFile(value["file"])
    if isinstance(value, float):
        raise wrong(f"is {value}, a number with a fraction", f'put it in quotes, so that it stays as it is: "{value}"')
    if not isinstance(value, str | int):
        raise wrong("is neither a text, a whole number nor a switch", "for a secret: {file: /etc/hactl/secrets/NAME}")
    text = as_text(value)
    if reason := refused_text(text):
        raise wrong(f"its value {reason}", "agents take one option a line, as it stands")
    return text


_SECRET = {
    "type": "object",
    "properties": {"file": {"type": "string", "pattern": "^/"}},
    "required": ["file"],
    "additionalProperties": False,
}
_OPTION = WithJsonSchema({"anyOf": [{"type": ["string", "integer", "boolean"]}, _SECRET]})
OptionValue = Annotated[Any, BeforeValidator(_value), _OPTION]


# For their defaults.
_DEVICE, _NODE = Device("", ""), NodeFencing(())


class FenceDevice(Strict):
    """A fence device, and the agent that speaks to it."""

    name: Name = Field(description="unique", examples=["ipmi-n1"])
    agent: Annotated[str, AfterValidator(_agent)] = Field(
        description="its fence agent, by name or absolute path; `hactl fence agents` lists those installed",
        examples=["fence_ipmilan"],
    )
    options: dict[str, OptionValue] = Field(
        default={},
        description="what the agent is told, by the names that `hactl fence describe AGENT` shows; a secret is "
        "`{file: /PATH}`, a file on each node that only root may read",
        examples=[{"ip": "10.0.1.11", "username": "hactl", "password": {"file": "/etc/hactl/secrets/ipmi-n1"}}],
    )
    timeout: Duration = Field(
        default=_DEVICE.timeout_ms,
        description="how long `off` or `on` may take, until the power has changed; then the agent is killed and has "
        "failed",
    )
    status_timeout: Duration = Field(default=_DEVICE.status_timeout_ms, description="how long `status` may take")
    unfence: bool = Field(
        default=False,
        description="each node of a level with it has to switch itself on by it before it takes part, as with agents "
        "that cut a node off from its storage",
    )

    def spec(self) -> Device:
        """The device of the topology."""
        return Device(self.name, self.agent, dict(self.options), self.timeout, self.status_timeout, self.unfence)


class Fencing(Strict):
    """What can switch nodes off."""

    devices: list[FenceDevice] = Field(default=[], description="what the levels of the nodes name")
    test_interval: Duration = Field(
        default=Topology().test_interval_ms,
        description="how often each node asks every device for its status, to see that it could",
    )


class LevelTarget(Strict):
    """A device, or a plug of one. A text alone is a device without plugs."""

    device: Name = Field(description="its name in `fencing.devices`", examples=["pdu-a"])
    plug: Line = Field(default="", description="which of the device's outlets or machines is meant")

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, given: object) -> object:
        return {"device": given} if isinstance(given, str) else given

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler.resolve_ref_schema(handler(schema))]}

    def spec(self) -> Target:
        """The target of the topology."""
        return Target(self.device, self.plug)


class Level(Strict):
    """A way to make the node certainly off: all of `devices`, or the time of its own watchdog."""

    devices: list[LevelTarget] = Field(
        default=[],
        description="all of them have to be off, such as the plugs of both power supplies",
        examples=[["ipmi-n1"]],
    )
    watchdog: bool = Field(default=False, description="its own watchdog has reset it; see `watchdog` in its node.toml")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.watchdog == bool(self.devices):
            given = "both" if self.watchdog else "neither"
            raise wrong(f"has {given} of `devices` and `watchdog: true`", "give one of them")
        return self

    def spec(self) -> LevelSpec:
        """The level of the topology."""
        return LevelSpec(tuple(device.spec() for device in self.devices), self.watchdog)


class NodeFencingSettings(Strict):
    """How a node is made certainly off when it is silent and owns a group with `fencing: required`."""

    levels: list[Level] = Field(
        min_length=1,
        description="tried in order, again and again until one has succeeded",
        examples=[[{"devices": ["ipmi-n1"]}]],
    )
    action: Literal["off", "reboot"] = Field(
        default=_NODE.action, description="`reboot`: switched on again, once it is known to be off"
    )
    delay: WholeDurationOrZero = Field(default=int(_NODE.delay_ms), description="before the first action")
    random_delay: WholeDurationOrZero = Field(
        default=int(_NODE.random_delay_ms), description="up to so much is added to `delay`"
    )

    def spec(self) -> NodeFencing:
        """As in the topology."""
        levels = tuple(level.spec() for level in self.levels)
        return NodeFencing(levels, self.action, float(self.delay), float(self.random_delay))
