"""The place of a VIP among the addresses of its interface, and how to put that right. Pure.

New connections of a node begin from an address that the kernel chooses: of IPv4 the first of the network, in the order
in which the interface has them; of IPv6 one that is not deprecated, if there is one. A VIP must never be it: such a
connection breaks when the VIP moves. So a VIP stands only beside an address of the node's own in its network: behind
it (IPv4), or deprecated (IPv6). With its own address a node loses the VIP, too, and gets it back with it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from hactl.linux.rtnl import Address, IPInterface

# well: as it should be. missing: to be put on. misplaced: to be taken off and put on again. preferred: to be made
# deprecated. refused: as misplaced, for the kernel does not use it: another host had it. alone: to be taken off, and
# put on again when the node has an address of its own there. barred: as alone, and it is off.
Standing = Literal["well", "missing", "misplaced", "preferred", "refused", "alone", "barred"]


def standing(vip: IPInterface, there: Sequence[Address], moving: Collection[str]) -> Standing:
    """How the VIP stands among the addresses `there`: those of its interface, of its version, in the kernel's order.
    `moving`: all VIPs, without their prefix."""
    host = str(vip.ip)
    # In one pass: there may be many, and each VIP of an interface may have to look at all of them.
    own, mine, leading = list[Address](), list[Address](), False
    for address in there:
        if address.host == host:
            mine.append(address)
            leading = leading or not own
        elif address.host not in moving:
            own.append(address)
    if all(vip.ip not in address.ip.network for address in own):
        return "alone" if mine else "barred"
    if all(address.ip != vip for address in mine):
        return "missing"
    if any(address.refused for address in mine):
        return "refused"
    if vip.version == 6:
        return "well" if all(address.deprecated for address in mine) else "preferred"
    return "misplaced" if leading or any(_leads(address, own) for address in mine) else "well"


def _leads(vip: Address, own: Sequence[Address]) -> bool:
    """Whether an address of the node's own comes after the VIP in their network."""
    return not vip.secondary and any(other.secondary and other.ip.network == vip.ip.network for other in own)
