"""Prefix lengths of VIPs that are allowed, and seldom meant."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface, ip_interface

from hactl.config.parts import Parts
from hactl.config.rules.findings import Finding

Interface = IPv4Interface | IPv6Interface


def vip_findings(parts: Parts) -> Iterator[Finding]:
    """Doubtful lengths; a problem of one node alone is reported there (`config check`)."""
    vips = [
        ((*path, "vip", "address"), ip_interface(resource.vip.address))
        for _, path, resource in parts.resources()
        if resource.vip is not None
    ]
    for number, (here, vip) in enumerate(vips):
        other = next((other for _, other in vips[:number] if _of_two_lengths(vip, other)), None)
        if _is_alone(vip):
            hint = f"give it the length of its interface's network, such as {vip.ip}/{24 if vip.version == 4 else 64}"
            yield Finding(here, f"{vip} is an address without a network", hint, refused=False)
        elif other is not None:
            problem = f"{vip} and {other} are in one network, with two lengths"
            yield Finding(here, problem, "give both the length of their interface's network", refused=False)


def _is_alone(vip: Interface) -> bool:
    return vip.network.prefixlen == vip.max_prefixlen


def _of_two_lengths(vip: Interface, other: Interface) -> bool:
    if _is_alone(other) or vip.version != other.version or vip.network.prefixlen == other.network.prefixlen:
        return False
    return vip.ip in other.network or other.ip in vip.network
