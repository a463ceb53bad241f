"""Whether HAProxy will be able to bind its addresses: found out before it is asked to.

HAProxy binds VIPs that are on another node, which the kernel must allow. It is done by the sysctl
`ip_nonlocal_bind`, not by `bind … transparent`: sockets marked so would go on sending from a VIP that has
moved to another node; without the mark the kernel stops that when the address goes.

A reload that cannot bind costs two seconds of every service: the new process makes the old one pause all its
listeners, hoping that this frees the address, and tries for so long (seen with 2.6). So it is tried here first.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from hactl.haproxy.settings import HaproxyError

# The kinds that may stand before an address, with their protocols. Source: HAProxy's manual, `bind`, and
# `parse.read_binds`. After another kind (`namespace@`, `unix@`, `fd@`) there is no address for this.
_KINDS = {"": "tcp", "ipv4": "tcp", "ipv6": "tcp", "tcp": "tcp", "tcp4": "tcp", "tcp6": "tcp", "v6only": "tcp"}
_KINDS |= dict.fromkeys(("udp", "udp4", "udp6", "quic4", "quic6"), "udp")


def check_free(binds: Iterable[str]) -> None:
    """Bind each of `binds` (ADDRESS:PORT or ADDRESS:FIRST-LAST) as HAProxy will, and let it go. Ports that HAProxy
    itself holds are free to it. Raises HaproxyError."""
    for bind in binds:
        family, address = _address(bind)
        kind = bind.rpartition("@")[0]
        if family is None or _KINDS[kind] != "tcp":
            continue
        for port in _ports(bind):
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if kind == "v6only" and family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                # Never listening: a listener would be given connections that are HAProxy's.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                try:
                    probe.bind((address, port))
                except OSError as error:
                    raise HaproxyError(
                        f"HAProxy could not bind {bind}: {error.strerror}. See `ss -ltnp 'sport = :{port}'`: another "
                        f"program, or the service itself, may listen there or on all addresses"
                    ) from None


def allow_nonlocal_bind(binds: Iterable[str], manage: bool, root: str = "/proc/sys") -> list[str]:
    """See to it that `binds` (ADDRESS:PORT) can be bound wherever the addresses are; returns the names of the
    settings that were changed. Without `manage` nothing is changed. Raises HaproxyError with a hint."""
    changed = []
    for version in sorted(_versions(binds)):
        name = "net.ipv6.ip_nonlocal_bind" if version == 6 else "net.ipv4.ip_nonlocal_bind"
        path = Path(root, *name.split("."))
        try:
            if path.read_text().strip() != "0":
                continue
            if not manage:
                raise HaproxyError(_hint(name, "is 0"))
            path.write_text("1\n")
        except OSError as error:
            raise HaproxyError(_hint(name, f"cannot be read or set ({error.strerror})")) from None
        changed.append(name)
    return changed


def _versions(binds: Iterable[str]) -> set[int]:
    """The IP versions of the addresses that a node may lack."""
    versions: set[int] = set()
    for bind in binds:
        _, text = _address(bind)
        address = ipaddress.ip_address(text) if text else None
        if address is not None and not (address.is_unspecified or address.is_loopback):
            versions.add(address.version)
    return versions


def _address(bind: str) -> tuple[socket.AddressFamily | None, str]:
    """Family and address; None and "" if it is no address: a host's name, a unix socket."""
    kind, _, unprefixed = bind.rpartition("@")
    if kind not in _KINDS:
        return None, ""
    text = unprefixed.rpartition(":")[0].strip("[]")
    if text in ("", "*"):
        return (socket.AF_INET6, "::") if kind.endswith("6") else (socket.AF_INET, "0.0.0.0")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None, ""
    return (socket.AF_INET if address.version == 4 else socket.AF_INET6), str(address)


def _ports(bind: str) -> Iterator[int]:
    first, _, last = bind.rpartition(":")[2].partition("-")
    if first.isdigit() and (not last or last.isdigit()):
        yield from range(int(first), int(last or first) + 1)


def _hint(name: str, why: str) -> str:
    return (
        f"{name} {why}: HAProxy could not bind a VIP that is on another node. Run `sysctl -w {name}=1` and put "
        f"`{name} = 1` into a file in /etc/sysctl.d, or set `haproxy.manage_sysctl: true`"
    )
