"""Kind `systemd`: a unit."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import model_validator

from hactl.config.fields import Part, UnitName, setting, wrong
from hactl.model import resources as of

# The types of units that no group can own, and why not. Source: systemd.unit(5).
_REFUSED = {
    "scope": "a scope is made by the program that runs in it, and cannot be started: name its service",
    "device": "a device is the kernel's",
    "slice": "a slice only holds other units, and systemd starts it for them: name these units",
    "swap": "swap space is a machine's own",
}
_OWN = ("hactl.service", "hactl-http.service")


class Systemd(Part):
    """A systemd unit: a service, or a socket, timer, path, target, mount or automount with the units that it starts."""

    OF: ClassVar[Any] = of.SystemdOptions

    unit: UnitName = setting("the unit's full name; it must not be enabled in systemd", examples=["mariadb.service"])
    guard_at_boot: bool = setting(
        "`true`: the drop-in that keeps systemd from starting the unit by itself is below /etc, so that it also holds "
        "at boot, before hactl runs; `false`: below /run",
        of.SystemdOptions("x").guard_at_boot,
    )

    @model_validator(mode="after")
    def _can_be_owned(self) -> Self:
        stem, _, kind = self.unit.rpartition(".")
        if kind in _REFUSED:
            raise wrong(f"`{self.unit}`: {_REFUSED[kind]}", "give a service, socket, timer, path, target or mount")
        if stem.endswith("@"):
            raise wrong(f"`{self.unit}` is a template", f"name an instance of it, such as `{stem}1.{kind}`")
        if self.unit in _OWN:
            raise wrong(f"`{self.unit}` is hactl itself", "name a unit that hactl has to start and stop")
        return self
