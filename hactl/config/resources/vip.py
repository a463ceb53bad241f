"""Kind `vip`: an address that moves with its group."""

from __future__ import annotations

from typing import Any, ClassVar

from hactl.config.fields import InterfaceName, Part, VipAddress, WholeDuration, WholeDurationOrZero, setting
from hactl.model import resources as of

# For its defaults.
_VIP = of.VipOptions("")


class Vip(Part):
    """An address that moves with its group."""

    OF: ClassVar[Any] = of.VipOptions

    address: VipAddress = setting("the address with its prefix length, IPv4 or IPv6", examples=["10.0.0.30/24"])
    interface: InterfaceName | None = setting(
        "the network interface; default: the one with an address in the same network", None
    )
    announce_burst: int = setting(
        "number of announcements right after the address was added", _VIP.announce_burst, ge=1, le=100
    )
    announce_burst_interval: WholeDuration = setting("time between two of these", _VIP.announce_burst_interval_ms)
    announce_interval: WholeDuration = setting("time between later announcements", _VIP.announce_interval_ms)
    drain: WholeDurationOrZero = setting(
        "how long, at most, the old node keeps open connections in a move with `overlap` (not longer than stop_timeout "
        "- 1s); 0s: not at all",
        _VIP.drain_ms,
    )
