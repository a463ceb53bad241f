"""Hearing that another host has our VIP, too.

A host that claims the address is believed only when it does so again a second later: while a VIP moves
between two nodes (`overlap`), both have it for a moment. It is asked by a probe that every holder answers.
Whenever it claims the VIP, that is announced anew (`defend`), so that hosts which it called away are back soon; so
it is asked every second for as long as it answers. The VIP is not dropped: who is right is for the operator to find
out, or for fencing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import structlog

from hactl.linux.network import Network
from hactl.linux.rtnl import Link
from hactl.model.events import Warned
from hactl.resources.base import Observation
from hactl.resources.vip.arp import Listener

log = structlog.get_logger(__name__)

CONFIRM_AFTER_S = 1.0
ASK_AGAIN_S = 1.0
# A conflict is over when nobody has claimed the VIP for so long, while it was asked for every second.
OVER_AFTER_S = 5.0
# A claim so long after the last is a new one.
_FORGET_AFTER_S = 60.0
TOPIC = "conflict"


async def watch_conflicts(claims: Claims, link: Link, interval_s: float) -> None:
    """Listen on `link`, ask every `interval_s` (0: once) who else has it, and report conflicts and their end. Until
    cancelled."""
    try:
        async with Network.shared().turn:
            listener = Listener(link, claims.ip)
    except OSError as error:
        log.warning("vip.conflicts_not_heard", resource=claims.name, interface=link.name, error=str(error))
        return
    asking = asyncio.create_task(claims.ask_on(interval_s))
    try:
        await claims.hear(listener)
    except OSError as error:
        # The interface is gone; the watcher listens anew when it is back.
        log.info("vip.conflicts_not_heard", resource=claims.name, interface=link.name, error=str(error))
    finally:
        asking.cancel()
        listener.close()


class Claims:
    """The claims of other hosts to one VIP. `planned`: whether another node is meant to claim it now."""

    def __init__(
        self,
        name: str,
        ip: IPv4Address | IPv6Address,
        probe: Callable[[], None],
        defend: Callable[[], None],
        report: Callable[[Observation], None],
        planned: Callable[[], bool],
    ) -> None:
        self.name, self.ip = name, ip
        self._probe, self._defend, self._report, self._planned = probe, defend, report, planned
        self._first: dict[bytes, float] = {}
        self._last: dict[bytes, float] = {}
        self._reported: set[bytes] = set()
        self._conflict = asyncio.Event()

    async def hear(self, listener: Listener) -> None:
        """Until cancelled."""
        while True:
            try:
                async with asyncio.timeout(OVER_AFTER_S if self._reported else None):
                    mac = await listener.claim()
            except TimeoutError:
                self.end()
                continue
            if not self._planned() and all(mac != link.mac for link in Network.shared().links()):
                self._defend()
                self._claimed(mac)

    async def ask_on(self, interval_s: float) -> None:
        """Ask every `interval_s`, and more often while there is a conflict."""
        self._probe()
        while True:
            try:
                async with asyncio.timeout(interval_s or None):
                    await self._conflict.wait()
                await asyncio.sleep(ASK_AGAIN_S)
            except TimeoutError:
                pass
            self._probe()

    def end(self) -> None:
        """Nobody claims it any more, or it is asked about anew elsewhere."""
        reported = bool(self._reported)
        self._first.clear()
        self._last.clear()
        self._reported.clear()
        self._conflict.clear()
        if reported:
            log.info("vip.conflict_over", resource=self.name, address=str(self.ip))
            self._report(Observation("running", warned=Warned(TOPIC, "")))

    def _claimed(self, mac: bytes) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._last.get(mac, now) > _FORGET_AFTER_S:
            del self._first[mac]
        self._last[mac] = now
        if mac not in self._first:
            self._first[mac] = now
            loop.call_later(CONFIRM_AFTER_S, self._probe)
        elif now - self._first[mac] >= CONFIRM_AFTER_S / 2 and mac not in self._reported:
            self._reported.add(mac)
            self._conflict.set()
            other = mac.hex(":")
            log.warning("vip.conflict", resource=self.name, address=str(self.ip), mac=other)
            text = f"address conflict: {self.ip} is also at {', '.join(mac.hex(':') for mac in sorted(self._reported))}"
            self._report(Observation("running", warned=Warned(TOPIC, text, mac=other)))
