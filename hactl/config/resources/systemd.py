"""Kind `systemd`: a unit."""

from __future__ import annotations

from typing import Any, ClassVar

from hactl.config.fields import Part, UnitName, setting
from hactl.model import resources as of


class Systemd(Part):
    """A systemd unit."""

    OF: ClassVar[Any] = of.SystemdOptions

    unit: UnitName = setting("the unit's full name; it must not be enabled in systemd", examples=["mariadb.service"])
