"""The fencing parts of cluster.yaml's shape: devices, and each node's levels of them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, GetJsonSchemaHandler, WithJsonSchema, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from fencing.agents.options import as_text, is_reference, refused_text
from fencing.topology import Device, NodeFencing, SecretFile, Target, Topology
from fencing.topology import Level as LevelSpec
from hactl.config.fields import Duration, Line, Name, Strict, WholeDurationOrZero, setting, wrong

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

    name: Name = setting("unique", examples=["ipmi-n1"])
    agent: Annotated[str, AfterValidator(_agent)] = setting(
        "its fence agent, by name or absolute path; `hactl fence agents` lists those installed",
        examples=["fence_ipmilan"],
    )
    options: dict[str, OptionValue] = setting(
        "the agent's options, by the names that `hactl fence describe AGENT` shows; a secret is `{file: /PATH}`, a "
        "file on each node that only root may read",
        {},
        examples=[{"ip": "10.0.1.11", "username": "hactl", "password": {"file": "/etc/hactl/secrets/ipmi-n1"}}],
    )
    timeout: Duration = setting(
        "how long `off` or `on` may take, until the power has changed; then the agent is killed and has failed",
        _DEVICE.timeout_ms,
    )
    status_timeout: Duration = setting("how long `status` may take", _DEVICE.status_timeout_ms)
    unfence: bool = setting(
        "whether a node that has this device in a level must first switch itself on by it; for agents that cut a node "
        "off from its storage",
        False,
    )

    def spec(self) -> Device:
        """The device of the topology."""
        return Device(self.name, self.agent, dict(self.options), self.timeout, self.status_timeout, self.unfence)


class Fencing(Strict):
    """The devices that can switch nodes off."""

    devices: list[FenceDevice] = setting("the devices that the nodes' levels name", [])
    test_interval: Duration = setting(
        "how often each node asks every device for its status, as a test", Topology().test_interval_ms
    )


class LevelTarget(Strict):
    """A device, or one of its plugs. In place of the mapping a text: the name of a device without plugs."""

    device: Name = setting("the device's name in `fencing.devices`", examples=["pdu-a"])
    plug: Line = setting("the outlet or machine of the device", "")

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

    devices: list[LevelTarget] = setting(
        "all of these must be off, such as the plugs of both power supplies", [], examples=[["ipmi-n1"]]
    )
    watchdog: bool = setting(
        "whether this level is the node's own watchdog, which resets it in time; see `watchdog` in its node.toml", False
    )

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

    levels: list[Level] = setting(
        "the ways to fence it; tried in order, again and again, until one succeeds",
        min_length=1,
        examples=[[{"devices": ["ipmi-n1"]}]],
    )
    action: Literal["off", "reboot"] = setting(
        "`off`: switched off; `reboot`: switched off, and on again once it is known to be off", _NODE.action
    )
    delay: WholeDurationOrZero = setting("time to wait before the first action", int(_NODE.delay_ms))
    random_delay: WholeDurationOrZero = setting(
        "a random time, up to this one, is added to `delay`", int(_NODE.random_delay_ms)
    )

    def spec(self) -> NodeFencing:
        """As in the topology."""
        levels = tuple(level.spec() for level in self.levels)
        return NodeFencing(levels, self.action, float(self.delay), float(self.random_delay))
