"""When a VIP is announced.

Five announcements after a start, 100, 200, 400 and 800 ms apart: the first ones close together against loss, as MetalLB
and keepalived repeat theirs, the last one after more than a second, because Linux neighbours heed no further ARP for a
second after a change (`locktime`; keepalived has a second round after 5 s for the same reason). Then one every ten
seconds, for switches that forget and hosts that missed all of these. And one when another host claims the VIP:
that is its defence (RFC 5227, 2.4 c), at most one a second. The RFC has ten seconds, so that two hosts that both
insist do not fill a network; with one a second they do not either, and clients that were called away are back sooner.
"""

from __future__ import annotations

import asyncio
import contextlib
from ipaddress import IPv4Address, IPv6Address

from hactl.linux.rtnl import Link
from hactl.model.resources import VipOptions
from hactl.resources.vip.arp import Announcer

DEFEND_EVERY_S = 1.0


class Announcements:
    """Of one VIP, on whatever interface it is."""

    def __init__(self, options: VipOptions, ip: IPv4Address | IPv6Address) -> None:
        self._ip = ip
        self._count = options.announce_burst
        self._pause_s = options.announce_burst_interval_ms / 1000
        self.interval_s = options.announce_interval_ms / 1000
        self._announcer: Announcer | None = None
        self._burst: asyncio.Task[None] | None = None
        self._defended_at = float("-inf")

    @property
    def burst_s(self) -> float:
        """How long a burst lasts."""
        return float(self._pause_s * (2 ** (self._count - 1) - 1))

    def by(self, link: Link) -> Announcer:
        """The announcer; a new one when the interface or its MAC address has changed. Raises OSError."""
        old = self._announcer
        if old is None or (old.link.index, old.link.mac) != (link.index, link.mac):
            if old is not None:
                old.close()
            self._announcer = Announcer(link, self._ip)
        assert self._announcer is not None
        return self._announcer

    def begin(self, link: Link) -> None:
        """Announce now, and the rest of the burst in the background. Raises OSError."""
        announcer = self.by(link)
        announcer.announce()
        self._go_on(announcer)

    def resume(self) -> None:
        """A burst, where it was announced before."""
        if self._announcer is not None:
            self._go_on(self._announcer)

    def once(self) -> None:
        """Announce once, where it was announced before; nothing where the link is down: it is announced anew when that
        is up."""
        if self._announcer is not None:
            with contextlib.suppress(OSError):
                self._announcer.announce()

    def defend(self) -> None:
        """Another host claims the VIP: announce it, unless that was done less than a second ago."""
        now = asyncio.get_running_loop().time()
        if now - self._defended_at >= DEFEND_EVERY_S:
            self._defended_at = now
            self.once()

    def pause(self) -> None:
        """End the burst."""
        if self._burst is not None:
            self._burst.cancel()
            self._burst = None

    def end(self) -> None:
        """Announce no more."""
        self.pause()
        if self._announcer is not None:
            self._announcer.close()
            self._announcer = None

    def _go_on(self, announcer: Announcer) -> None:
        self.pause()
        self._burst = asyncio.create_task(self._repeat(announcer))

    async def _repeat(self, announcer: Announcer) -> None:
        for number in range(self._count - 1):
            await asyncio.sleep(self._pause_s * 2**number)
            # The link may go down meanwhile; it is announced anew when it is up.
            with contextlib.suppress(OSError):
                announcer.announce()
