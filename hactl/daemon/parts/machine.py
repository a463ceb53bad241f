"""The identity of this machine: its machine id, and marks that no copy of its disk has (election.machine)."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from pathlib import Path

import structlog

from election import machine
from hactl.config.errors import ConfigErrors, Problem
from hactl.config.node import NodeConfig
from hactl.linux.atomic_write import create_atomically
from hactl.linux.process_identity import read_stat

log = structlog.get_logger()

_DMI = Path("/sys/class/dmi/id/product_uuid")
_NET = Path("/sys/class/net")
_SECRET = re.compile(r"[0-9a-f]{64}")
# The values of firmware that was never given one.
_NO_UUID = re.compile(r"(.)\1*|03000200-0400-0500-0006-000700080009|not .*|")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ALL_PROCESSES = "pid:[4026531836]"  # the machine's own process namespace, PROC_PID_INIT_INO in the kernel's proc_ns.h
# A bridge may have many ports.
_CARDS = 16
_PERMANENT = "0"  # Documentation/ABI/testing/sysfs-class-net, addr_assign_type


def read_machine_id(path: str) -> str:
    """The machine id. Raises ConfigErrors where it tells nothing."""
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
        problem = "" if len(set(text)) > 1 and text != "uninitialized" else f"holds no machine id: `{text[:40]}`"
    except FileNotFoundError:
        problem = "is not there"
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read: {getattr(error, 'strerror', None) or 'is not UTF-8'}"
    if problem:
        fix = "`rm -f /etc/machine-id && systemd-machine-id-setup`: every machine needs one of its own"
        raise ConfigErrors([Problem(path, "", problem, fix)])
    return text


def identify(config: NodeConfig, address: str) -> str:
    """This machine's identity. `address`: the node's, by which its network card is found. Blocks for a moment."""
    board, cards = _hardware(config, address)
    parts = ([_secret(Path(config.state_dir, "machine-secret"))], [board], cards[:_CARDS])
    return machine.identity(tuple(_digests(name, values) for name, values in zip(machine.PARTS, parts, strict=True)))


def _digests(name: str, values: list[str]) -> str:
    hashes = (hashlib.sha256(f"hactl {name}\0{value}".encode()).hexdigest()[:16] for value in values if value)
    return machine.BESIDE.join(hashes)


def _secret(path: Path) -> str:
    """Made at the first start; "" where there is none to be had."""
    try:
        if not path.exists():
            create_atomically(path, os.urandom(32).hex())
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        log.error("machine_secret_missing", file=str(path), problem=str(error))
        return ""
    if not _SECRET.fullmatch(text):
        log.error("machine_secret_missing", file=str(path), problem="it is none: remove it, a new one is made")
        return ""
    return text


def _hardware(config: NodeConfig, address: str) -> tuple[str, list[str]]:
    """The mainboard's UUID, "" where there is none, and the network cards' MAC addresses."""
    if config.hardware_file:
        log.warning("hardware_by_file", file=config.hardware_file)
        board, _, cards = _text(Path(config.hardware_file)).partition("\n")
        return board.strip(), sorted(cards.split())
    return "" if in_container() else _board(), _cards(address)


def _board() -> str:
    uuid = _text(_DMI).lower()
    return "" if _NO_UUID.fullmatch(uuid) or len(set(uuid) - {"-"}) < 3 else uuid


def in_container() -> bool:
    """Where the mainboard is the host's, which may be another one tomorrow, and so is the boot id."""
    contained = Path("/run/systemd/container").exists() or "container=" in _text(Path("/proc/1/environ"))
    return contained or _processes() not in ("", _ALL_PROCESSES)


def _processes() -> str:
    """The process namespace that this is in: not all that make containers say so in words."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def read_boot_id(path: str) -> str:
    """This boot's id. Raises OSError. A container has that of its host, and so has a copy of the container: there the
    boot is since its first process was started."""
    text = Path(path).read_text(encoding="utf-8").strip()
    if Path(path) != _BOOT_ID or not in_container():
        return text
    first = read_stat(1)
    return f"{text}-{first.start_time}" if first else text


def _cards(address: str) -> list[str]:
    """The MAC addresses that the cards below the interface with this address were made with. Those that software gave,
    to a container's end of a cable, say, may be others after the next boot, or the same on another machine."""
    from hactl.linux import netlink  # noqa: PLC0415 - large, and not wanted by a daemon that is in a hurry

    try:
        wanted = ipaddress.ip_address(address)
        names = {link.index: link.name for link in netlink.links()}
        holders = [names[known.index] for known in netlink.addresses(wanted.version) if known.ip.ip == wanted]
    except (OSError, ValueError, KeyError):
        return []
    return sorted(_permanent(_NET / holders[0])) if holders else []


def _permanent(interface: Path) -> set[str]:
    if lower := [path.resolve() for path in interface.glob("lower_*")]:
        return {mac for below in lower for mac in _permanent(below)}
    bonded = _text(interface / "bonding_slave" / "perm_hwaddr")
    given = _text(interface / "address") if _text(interface / "addr_assign_type") == _PERMANENT else ""
    card = (interface / "device").exists() and _text(interface / "type") == "1"  # ARPHRD_ETHER
    return {bonded or given} - {""} if card else set()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").rstrip()
    except OSError:
        return ""
