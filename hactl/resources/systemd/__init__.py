"""Kind `systemd`: a unit of systemd's."""

from hactl.resources.systemd.unit import Unit, same_unit

__all__ = ["Unit", "same_unit"]
