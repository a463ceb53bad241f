"""Hearing that another station has our VIP, too.

A station that claims the address is believed only when it does so again a second later: while a VIP moves
between two nodes (`overlap`), both have it for a moment. It is asked by a probe that every holder answers.
The VIP is not dropped: who is right is for the operator to find out, or for fencing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import structlog

from hactl.resources import netlink
from hactl.resources.base import Observation
from hactl.resources.netlink import Link
from hactl.resources.station import Listener

log = structlog.get_logger(__name__)

CONFIRM_AFTER_S = 1.0
# A claim so long after the last is a new one.
_FORGET_AFTER_S = 60.0
# A conflict is over when so many probes in a row were not answered.
_UNANSWERED_PROBES = 3


async def watch_conflicts(
    name: str,
    link: Link,
    ip: IPv4Address | IPv6Address,
    probe: Callable[[], None],
    interval_s: float,
    report: Callable[[Observation], None],
    planned: Callable[[], bool],
) -> None:
    """Listen on `link`, call `probe` every `interval_s` (0: once), and report conflicts of the VIP `ip` of the
    resource `name`, and their end. Until cancelled. `planned`: whether another node is meant to claim it now."""
    try:
        listener = Listener(link, ip)
    except OSError as error:
        log.warning("vip.conflicts_not_heard", resource=name, interface=link.name, error=str(error))
        return
    probing = asyncio.create_task(_probe_on(probe, interval_s))
    try:
        await _Conflicts(name, ip, probe, interval_s, report, planned).hear(listener)
    except OSError as error:
        # The interface is gone; whoever follows it listens anew when it is back.
        log.info("vip.conflicts_not_heard", resource=name, interface=link.name, error=str(error))
    finally:
        probing.cancel()
        listener.close()


async def _probe_on(probe: Callable[[], None], interval_s: float) -> None:
    while True:
        probe()
        if interval_s <= 0:
            return
        await asyncio.sleep(interval_s)


class _Conflicts:
    def __init__(
        self,
        name: str,
        ip: IPv4Address | IPv6Address,
        probe: Callable[[], None],
        interval_s: float,
        report: Callable[[Observation], None],
        planned: Callable[[], bool],
    ) -> None:
        self._name = name
        self._probe = probe
        self._ip = ip
        self._report = report
        self._planned = planned
        self._quiet_s = _UNANSWERED_PROBES * interval_s if interval_s > 0 else None
        self._first: dict[bytes, float] = {}
        self._last: dict[bytes, float] = {}
        self._reported: set[bytes] = set()

    async def hear(self, listener: Listener) -> None:
        """Until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._quiet_s if self._reported else None):
                    mac = await listener.claim()
            except TimeoutError:
                self._over()
                continue
            if not self._planned() and mac not in {link.mac for link in netlink.links()}:
                self._claimed(mac)

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
            other = mac.hex(":")
            log.warning("vip.conflict", resource=self._name, address=str(self._ip), mac=other)
            self._report(Observation("running", f"address conflict: {self._ip} is also at {other}"))

    def _over(self) -> None:
        self._first.clear()
        self._last.clear()
        self._reported.clear()
        log.info("vip.conflict_over", resource=self._name, address=str(self._ip))
        self._report(Observation("running", f"no other station has {self._ip} any more"))
