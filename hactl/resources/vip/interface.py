"""Where a VIP belongs on this node, by its options and the node's networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence

from hactl.linux import netlink
from hactl.linux.errors import OperationError
from hactl.linux.rtnl import Address, IPInterface, Link
from hactl.model.resources import VipSpec
from hactl.resources.base import ResourceError


def find_interface(
    ip: IPInterface, wanted: str | None, links: Collection[Link], addresses: Sequence[Address]
) -> tuple[str, Link | None]:
    """The interface for a VIP: `wanted`, else the one that has an address in a network the VIP lies in, which
    `wanted` must have, too. `addresses`: the node's own, of the VIP's version. Returns ("", link), or the problem and
    its fix, and None."""
    by_number = {link.index: link for link in links if wanted in (None, link.name)}
    if wanted is not None and not by_number:
        names = ", ".join(sorted(link.name for link in links))
        return f"{ip}: there is no interface {wanted}; there are: {names}", None
    near = [address for address in addresses if address.index in by_number]
    numbers = sorted({address.index for address in near if address.host != str(ip.ip) and ip.ip in address.ip.network})
    if len(numbers) == 1:
        return "", by_number[numbers[0]]
    if numbers:
        names = ", ".join(by_number[number].name for number in numbers)
        return f"{ip} is in a network of several interfaces ({names}): set `interface`", None
    place = f"of {wanted}" if wanted else "of this node"
    networks = ", ".join(sorted({str(address.ip.network) for address in near if address.host != str(ip.ip)})) or "none"
    return f"{ip} is not in any IPv{ip.version} network {place}; they are: {networks}", None


def no_own_address(ip: IPInterface, link: Link) -> str:
    """The problem of a node that has lost its own address beside a VIP."""
    return f"{link.name} has no address of this node's own in the network of {ip} (see `ip addr show {link.name}`)"


def check_options(spec: VipSpec) -> list[str]:
    """The problems of the options on this node."""
    try:
        ip = parse(spec)
        there = netlink.addresses(ip.version)
        problem, _ = find_interface(ip, spec.options.interface, netlink.links(), there)
    except (OSError, OperationError) as error:
        return [str(error)]
    return [problem] if problem else []


def doubtful_options(spec: VipSpec) -> list[str]:
    """A prefix length that is not that of the interface's network. It does no harm: a VIP has no route of its own."""
    try:
        ip = parse(spec)
        there = netlink.addresses(ip.version)
        _, link = find_interface(ip, spec.options.interface, netlink.links(), there)
    except (OSError, OperationError):
        return []
    own = [address.ip for address in there if link and address.index == link.index and address.host != str(ip.ip)]
    networks = [address.network for address in own if ip.ip in address.network]
    if link is None or any(network.prefixlen == ip.network.prefixlen for network in networks):
        return []
    lengths = " or ".join(sorted({f"{ip.ip}/{network.prefixlen}" for network in networks}))
    return [f"{ip} has another length than the network of {link.name}: {lengths} is meant, as a rule"]


def parse(spec: VipSpec) -> IPInterface:
    """The address of a VIP's options. Raises ResourceError."""
    text = spec.options.address
    try:
        return ipaddress.ip_interface(text)
    except ValueError:
        message = f"{spec.name}: address {text!r} is not an IP address with a prefix, such as 10.0.0.30/24"
        raise ResourceError(message) from None
