"""A wire for the tests of a VIP: two network namespaces, a veth pair, a sniffer on the other side."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from hactl.resources.base import NodeContext, Observation
from hactl.resources.vip import Vip
from tests.support.namespaces import DEADLINE_S, inside, ip
from tests.support.specs import resource_spec

V4, V6 = "10.77.0.30/24", "fd77::30/64"
OWN4, OWN6 = "10.77.0.1/24", "fd77::1/64"
OTHER_MAC = bytes.fromhex("02aabbccddee")


@dataclass
class Wire:
    """`here` is the node's namespace (interface `node`), `there` the other station's (`peer`)."""

    here: str
    there: str
    sniffer: socket.socket = field(init=False)
    node_mac: bytes = field(init=False)
    context: NodeContext = field(default_factory=lambda: NodeContext("n1", "/nonexistent", None))

    def attach(self) -> None:
        """Open a sniffer at the other station and learn the node's MAC address; again for a new interface."""
        self.sniffer = inside(self.there, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
        mac = ip("-n", self.here, "-o", "link", "show", "dev", "node").split("link/ether ")[1][:17]
        self.node_mac = bytes.fromhex(mac.replace(":", ""))

    def close(self) -> None:
        self.sniffer.close()

    def run(self, scenario: Callable[[], Awaitable[None]]) -> None:
        """Run the scenario in the node's namespace."""

        async def bounded() -> None:
            await asyncio.wait_for(scenario(), DEADLINE_S)

        inside(self.here, lambda: asyncio.run(bounded()))

    def vip(self, address: str, **options: Any) -> Vip:
        return Vip(resource_spec("vip", "vip", {"address": address, **options}), self.context)

    def addresses(self) -> str:
        return ip("-n", self.here, "-o", "addr", "show", "dev", "node")

    def frame(self, wanted: Callable[[bytes], bool]) -> bytes:
        """The node's next frame on the wire that is wanted."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            self.sniffer.settimeout(max(0.01, end - time.monotonic()))
            frame = self.sniffer.recv(2048)
            if frame[6:12] == self.node_mac and wanted(frame):
                return frame
        raise AssertionError("no such frame")

    async def await_frame(self, wanted: Callable[[bytes], bool]) -> bytes:
        return await asyncio.to_thread(self.frame, wanted)

    def count(self, wanted: Callable[[bytes], bool]) -> int:
        """How many wanted frames the node has sent since the sniffer was last read; does not wait."""
        self.sniffer.setblocking(False)
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = self.sniffer.recv(2048)
                count += frame[6:12] == self.node_mac and wanted(frame)
        return count


class Reports:
    """The reports of `watch`."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Observation] = asyncio.Queue()

    async def expect(self, health: str, detail: str) -> None:
        """Wait for a report with these words in its detail, in the repair it tells of, or in its warning ("over": the
        warning ended)."""
        while True:
            seen = await self.queue.get()
            warned = (seen.warned.text or "over") if seen.warned else ""
            if seen.health == health and detail in f"{seen.detail} {seen.put_right} {warned}":
                return

    @contextlib.asynccontextmanager
    async def watching(self, vip: Vip) -> Any:
        task = asyncio.create_task(vip.watch(self.queue.put_nowait))
        await asyncio.sleep(0)
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def is_arp(frame: bytes, operation: int, sender: str) -> bool:
    ethertype, op = frame[12:14], int.from_bytes(frame[20:22], "big")
    return ethertype == b"\x08\x06" and op == operation and frame[28:32] == ipaddress.IPv4Address(sender).packed


def is_na(frame: bytes) -> bool:
    return frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 136
