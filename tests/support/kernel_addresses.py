"""The IPv4 addresses of an interface by the kernel's rules (net/ipv4/devinet.c), as a model."""

from __future__ import annotations

from ipaddress import IPv4Interface

from hactl.linux.rtnl import Address


class KernelAddresses:
    """In the kernel's order, with `promote_secondaries`."""

    def __init__(self) -> None:
        self.primary: list[IPv4Interface] = []
        self.secondary: list[IPv4Interface] = []

    def add(self, text: str) -> None:
        ip = IPv4Interface(text)
        if ip not in self.primary + self.secondary:
            (self.secondary if self._leader(ip) else self.primary).append(ip)

    def remove(self, text: str) -> None:
        ip = IPv4Interface(text)
        if ip in self.secondary:
            self.secondary.remove(ip)
        elif ip in self.primary:
            self.primary.remove(ip)
            follower = next((address for address in self.secondary if address.network == ip.network), None)
            if follower is not None:
                self.secondary.remove(follower)
                self.primary.append(follower)  # the kernel puts it behind the other primary addresses

    def _leader(self, ip: IPv4Interface) -> bool:
        return any(address.network == ip.network for address in self.primary)

    @property
    def addresses(self) -> list[Address]:
        return [Address(1, address, str(address.ip)) for address in self.primary] + [
            Address(1, address, str(address.ip), secondary=True) for address in self.secondary
        ]
