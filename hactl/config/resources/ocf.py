"""Kind `ocf`: an OCF resource agent."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from fencing.agents.options import is_reference
from hactl.config.fields import FilePath, Part, setting, wrong
from hactl.model import resources as of

_AGENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*:[A-Za-z0-9][A-Za-z0-9_.-]*")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What other cluster managers run beside OCF agents, and what it is called here.
_OTHER_CLASSES = {
    "systemd": "use `systemd: {unit: …}`",
    "service": "use `systemd: {unit: …}`",
    "lsb": "use `systemd: {unit: …}`, or `exec` with `start`, `stop` and `monitor`",
    "stonith": "fence devices belong into `fencing.devices`",
}


def _agent(value: str) -> str:
    name = value.removeprefix("ocf:")
    first = value.partition(":")[0]
    if first in _OTHER_CLASSES and name == value:
        raise wrong(f"`{value}` is no OCF agent", _OTHER_CLASSES[first])
    if not _AGENT.fullmatch(name):
        hint = f"write `heartbeat:{name}`" if re.fullmatch(r"[A-Za-z0-9_.-]+", name) else "such as `heartbeat:pgsql`"
        raise wrong(f"`{value}` is no agent", f"{hint}: provider and name; `hactl resource agents` lists them")
    return name


def _parameter(name: str) -> str:
    if not _PARAMETER.fullmatch(name):
        raise wrong(f"`{name}` is no name of a parameter", "use letters, digits and `_`")
    if name.startswith("CRM_meta_") or name == "crm_feature_set":
        raise wrong(f"`{name}` is given by hactl itself", "leave it out")
    return name


def _value(value: object) -> str:
    if is_reference(value):
        raise wrong("is a file", "name it under `secrets`: `secrets: {NAME: /PATH}`")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        raise wrong(f"is {value}, a number with a fraction", f'put it in quotes, so that it stays as it is: "{value}"')
    if not isinstance(value, str | int):
        raise wrong("is neither a text, a whole number nor a switch", "agents have such parameters alone")
    if "\0" in str(value):
        raise wrong("has a NUL character", "leave it out")
    return str(value)


_SHAPE = WithJsonSchema({"type": ["string", "integer", "boolean"]})
ParameterName = Annotated[str, AfterValidator(_parameter)]
ParameterValue = Annotated[Any, BeforeValidator(_value), _SHAPE]


class Ocf(Part):
    """An OCF resource agent, such as those of Debian's resource-agents, see [OCF agents](ocf.md)."""

    OF: ClassVar[Any] = of.OcfOptions

    agent: Annotated[str, AfterValidator(_agent)] = setting(
        "its agent, `provider:name`; `hactl resource agents` lists those installed", examples=["heartbeat:pgsql"]
    )
    parameters: dict[ParameterName, ParameterValue] = setting(
        "the agent's parameters, by the names that `hactl resource describe AGENT` shows",
        {},
        examples=[{"pgdata": "/var/lib/postgresql/15/main", "pgport": 5432}],
    )
    secrets: dict[ParameterName, FilePath] = setting(
        "parameters whose values are read from files for each action; a file on each node that only root may read",
        {},
        examples=[{"monitor_password": "/etc/hactl/secrets/database"}],
    )
    check_level: Annotated[int, Field(ge=0, le=1000)] = setting(
        "how deeply the agent's monitor looks (`OCF_CHECK_LEVEL`): 0, or a depth that `hactl resource describe` shows",
        0,
    )

    @model_validator(mode="after")
    def _once(self) -> Self:
        twice = sorted(self.parameters.keys() & self.secrets.keys())
        if twice:
            raise wrong(f"has `{twice[0]}` under `parameters` and under `secrets`", "leave it out of `parameters`")
        return self
