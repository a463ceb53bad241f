"""Where a VIP belongs on this node, by its options and the node's networks."""

from __future__ import annotations

import ipaddress

from hactl.model.cluster import ResourceSpec
from hactl.resources import netlink
from hactl.resources.base import ResourceError
from hactl.resources.netlink import IPInterface, Link


def find_interface(ip: IPInterface, wanted: str | None) -> tuple[str, Link | None]:
    """The interface for a VIP: `wanted`, else the one that has an address in a network the VIP lies in, which
    `wanted` must have, too. Returns ("", link), or what is wrong and how to mend it, and None. Raises
    OSError."""
    links = {link.index: link for link in netlink.links()}
    if wanted is not None and all(link.name != wanted for link in links.values()):
        names = ", ".join(sorted(link.name for link in links.values()))
        return f"{ip}: there is no interface {wanted}; there are: {names}", None
    near = [
        address
        for address in netlink.addresses(ip.version)
        if address.index in links and (wanted is None or links[address.index].name == wanted)
    ]
    numbers = sorted({address.index for address in near if address.ip.ip != ip.ip and ip.ip in address.ip.network})
    if len(numbers) == 1:
        return "", links[numbers[0]]
    if numbers:
        names = ", ".join(links[number].name for number in numbers)
        return f"{ip} is in a network of several interfaces ({names}): set `interface`", None
    place = f"of {wanted}" if wanted else "of this node"
    networks = ", ".join(sorted({str(address.ip.network) for address in near if address.ip.ip != ip.ip})) or "none"
    return f"{ip} is not in any IPv{ip.version} network {place}; they are: {networks}", None


def check_options(spec: ResourceSpec) -> list[str]:
    """What is wrong with the options on this node."""
    try:
        problem, _ = find_interface(parse(spec), spec.options.get("interface"))
    except (OSError, ResourceError) as error:
        return [str(error)]
    return [problem] if problem else []


def parse(spec: ResourceSpec) -> IPInterface:
    """The address of a VIP's options. Raises ResourceError."""
    text = str(spec.options.get("address", ""))
    try:
        return ipaddress.ip_interface(text)
    except ValueError:
        message = f"{spec.name}: address {text!r} is not an IP address with a prefix, such as 10.0.0.30/24"
        raise ResourceError(message) from None
