"""Asks this node's networks whether another machine has this node's address: a copy of its disk is one that does.

By the same question as for a VIP (RFC 5227, RFC 4862): the machine that has the address answers, also where this one
has it, too, and no cache changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress

from hactl.linux import netlink
from hactl.linux.rtnl import Link
from hactl.resources.vip.arp import Announcer, Listener

# A machine in the same network answers within milliseconds; a frame may be lost, a switch may just be learning.
ASKED = 3
EVERY_S = 0.15


class NotAskedError(Exception):
    """It cannot be found out. The text says why."""


async def other_holder(address: str) -> str:
    """The MAC address of another machine that has `address`, "" when none answers. Raises NotAskedError."""
    try:
        ip = ipaddress.ip_address(address)
        links = _links_to(ip)
    except (OSError, ValueError) as error:
        raise NotAskedError(f"{address or 'no address'}: {error}") from None
    if not links:
        raise NotAskedError(f"no network card of this machine is in the network of {address}")
    macs = await asyncio.gather(*(_ask(link, ip) for link in links))
    return next(filter(None, macs), "")


def _links_to(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[Link]:
    """The running interfaces in the network of `ip`."""
    near = {address.index for address in netlink.addresses(ip.version) if ip in address.ip.network}
    return [link for link in netlink.links() if link.index in near and link.running and link.ethernet]


async def _ask(link: Link, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """On one interface. Raises NotAskedError."""
    own = {other.mac for other in netlink.links()}
    try:
        with contextlib.closing(Listener(link, ip)) as listener, contextlib.closing(Announcer(link, ip)) as asking:
            for _ in range(ASKED):
                asking.probe()
                if mac := await _answer(listener, own):
                    return mac
    except OSError as error:
        raise NotAskedError(f"{link.name}: {error.strerror}") from None
    return ""


async def _answer(listener: Listener, own: set[bytes]) -> str:
    try:
        async with asyncio.timeout(EVERY_S):
            while True:
                mac = await listener.claim()
                if mac not in own:
                    return mac.hex(":")
    except TimeoutError:
        return ""
