"""What this node says of itself in the store."""

from __future__ import annotations

import contextlib

from election.records import Member
from hactl import __version__
from hactl.model.cluster import ClusterSpec

# Of so many interfaces at most.
_INTERFACES = 64


def member_of(cluster: ClusterSpec | None, node: str, config_revision: int) -> Member:
    """Its record. Where there are VIPs, with the MAC addresses of its interfaces: a node that hears another station
    claim a VIP can then say which node that is."""
    address = cluster.address(node) if cluster else ""
    vips = cluster is not None and any(one.kind == "vip" for group in cluster.groups for one in group.resources)
    return Member(node, address, __version__, config_revision, extra={"macs": _macs()} if vips else {})


def _macs() -> dict[str, str]:
    """MAC addresses of the interfaces that have IP addresses, and the names of these."""
    from hactl.linux import netlink  # noqa: PLC0415 - where it is needed

    with contextlib.suppress(OSError):
        used = {address.index for version in (4, 6) for address in netlink.addresses(version)}
        links = [link for link in netlink.links() if link.ethernet and link.index in used]
        return {link.mac.hex(":"): link.name for link in links[:_INTERFACES]}
    return {}
