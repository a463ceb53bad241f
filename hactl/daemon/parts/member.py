"""This node's own record in the store."""

from __future__ import annotations

import contextlib

from election.records import Member
from hactl import __version__
from hactl.model.effects import WriteMember

# Of so many interfaces at most.
_INTERFACES = 64


def member_of(node: str, effect: WriteMember) -> Member:
    """Its record. With the MAC addresses of its interfaces a node that hears another station claim a VIP can say which
    node that is."""
    extra = {"macs": _macs()} if effect.macs else {}
    return Member(node, effect.address, __version__, effect.config_revision, extra=extra)


def _macs() -> dict[str, str]:
    """MAC addresses of the interfaces that have IP addresses, and the names of these."""
    from hactl.linux import netlink  # noqa: PLC0415 - where it is needed

    with contextlib.suppress(OSError):
        used = {address.index for version in (4, 6) for address in netlink.addresses(version)}
        links = [link for link in netlink.links() if link.ethernet and link.index in used]
        return {link.mac.hex(":"): link.name for link in links[:_INTERFACES]}
    return {}
