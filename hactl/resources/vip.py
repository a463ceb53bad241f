"""Kind `vip`: an address that moves from node to node.

Options: `address` (with its prefix: "10.0.0.30/24", "fd00::30/64"), `interface` (found by the network the
address lies in, if not given), `announce_burst`, `announce_burst_interval_ms`, `announce_interval_ms`, `drain_ms`.

*Announcing.* Five announcements after a start, 100, 200, 400 and 800 ms apart: the first ones close together
against loss, as MetalLB and keepalived repeat theirs, the last one after more than a second, because Linux
neighbours heed no further ARP for a second after a change (`locktime`; keepalived has a second round after
5 s for the same reason). Then one every ten seconds, for switches that forget and stations that missed all
of these.

*Beside the node's own addresses.* A VIP is added with its prefix, as a secondary address. Should it have
become the primary one of its network (the node's own was taken off and put on again), removing it would take
all other addresses of that network along; `promote_secondaries`, set on its interface at the start, keeps
them. The node's own questions for a station's MAC address go out with its own address (`arp_announce`), never with
the VIP: a question tells who hears it where the VIP is, which may be another node by now.

*Moves with `overlap`.* For a moment two nodes have the address. The one that leaves says no more of it from then on
(`hush`): a word of its burst, after the newcomer's first, would call the stations back to where it is about to go.
What becomes of the connections: `handover`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from hactl.model.cluster import ResourceSpec
from hactl.resources import netlink
from hactl.resources.base import NodeContext, Observation, ResourceError
from hactl.resources.conflict import watch_conflicts
from hactl.resources.handover import Handover
from hactl.resources.netlink import Address, Link
from hactl.resources.station import Announcer
from hactl.resources.vip_place import find_interface, parse

log = structlog.get_logger(__name__)

Report = Callable[[Observation], None]

# A move that has come to no end after this, or when the other node has announced it and the drain is over: whoever
# still has the address announces it again.
HUSH_S = 5.0
# What is left of the stop's time for taking the address off, at least.
REMOVE_S = 1.0
# IPv4's settings of its interface: promote an address when the first of its network goes; ask with an address of the
# network asked in. Larger values are as good.
_SETTINGS = (("promote_secondaries", 1), ("arp_announce", 2))


class Vip:
    """One VIP on this node."""

    def __init__(self, spec: ResourceSpec, context: NodeContext) -> None:
        """Raises ResourceError when `address` is none."""
        self.spec = spec
        self.context = context
        self._ip = parse(spec)
        self._burst_count = int(spec.options.get("announce_burst", 5))
        self._burst_interval_s = float(spec.options.get("announce_burst_interval_ms", 100)) / 1000
        self._interval_s = float(spec.options.get("announce_interval_ms", 10_000)) / 1000
        # None: found by the address's network, and then kept, so that the guard and the start agree.
        self._interface: str | None = spec.options.get("interface")
        self._handover = Handover(spec.name, self._ip.ip, float(spec.options.get("drain_ms", 3000)) / 1000)
        self._announcer: Announcer | None = None
        self._burst_task: asyncio.Task[None] | None = None
        self._hushed: asyncio.TimerHandle | None = None
        # None: not yet known, a daemon before this one may have started it.
        self._wanted: bool | None = None

    async def start(self, env: Mapping[str, str]) -> None:
        """Put the address on and announce it; return when the first announcement is out. HACTL_BESIDE in `env`:
        another node has it until it runs here (`overlap`)."""
        self._speak()
        link = self._place()
        if not link.running:
            raise ResourceError(f"{self._ip} cannot be used: the link of {link.name} is down")
        self._set_up(link)
        if env.get("HACTL_BESIDE"):
            await self._meet(link)
        else:
            self._handover.stay()
            self._handover.alone()
        self._wanted = True
        self._add(link)
        self._announce_burst(link)
        log.info("vip.started", resource=self.spec.name, address=str(self._ip), interface=link.name)

    async def stop(self) -> None:
        """Take the address off, wherever it is, and see that it is gone; after `hush`, when no connection to it is
        left, or `drain_ms` are over."""
        self._wanted = False
        leaving = self._hushed is not None
        self._end_announcing()
        if leaving:
            await self._drain()
        await self.kill()

    async def kill(self) -> None:
        """As `stop`, but at once."""
        self._wanted = False
        self._end_announcing()
        self._handover.stay()
        with _explained(f"cannot remove {self._ip}"):
            for address in self._found():
                netlink.remove_address(address.index, address.ip)
            if left := self._found():
                names = ", ".join(_name(address.index) for address in left)
                raise ResourceError(f"{self._ip.ip} was removed and is still there, on {names}: who puts it back?")
        await self._handover.end()

    async def probe(self) -> Observation:
        """Whether the address is on its interface, and that has a link."""
        with _explained(f"cannot look for {self._ip}"):
            found = self._found()
            if not found:
                return Observation("stopped")
            names = {_name(address.index) for address in found}
            link = self._link_of(found)
            if link is None:
                where = ", ".join(sorted(names))
                return Observation("failed", f"{self._ip.ip} is on {where}, not on {self._interface}")
            if not link.running:
                return Observation("failed", _down(link.name))
        return Observation("running")

    async def monitor(self) -> Observation:
        """As `probe`: duplicates are heard by `watch` all the time."""
        return await self.probe()

    async def watch(self, report: Report) -> None:
        """Put the address back when it is lost; announce it; report the link's state, and other stations that
        claim it."""
        watcher = _Watcher(self, report)
        await watcher.run()

    def hush(self) -> None:
        """Another node is about to announce the address, and this one to let it go: say no more of it, unless it is
        still here after HUSH_S."""
        if self._burst_task is not None:
            self._burst_task.cancel()
        self._speak()
        self._hushed = asyncio.get_running_loop().call_later(HUSH_S, self._speak_again)
        with contextlib.suppress(OSError):
            if (link := netlink.link(self._interface or "")) is not None:
                self._handover.leave(link)

    def guard_steps(self) -> tuple[dict[str, Any], ...]:
        """Remove it from its interface. Raises ResourceError when it is not known where it belongs: then it
        must not be started."""
        address, prefix = str(self._ip.ip), self._ip.network.prefixlen
        return ({"kind": "address", "interface": self._home(), "address": address, "prefix": prefix},)

    def _home(self) -> str:
        """The name of its interface. Raises ResourceError."""
        if self._interface is None:
            self._interface = self._place().name
        return self._interface

    def _place(self) -> Link:
        """The interface it belongs on; it must have an address in a network that the VIP lies in."""
        with _explained("cannot list the interfaces"):
            problem, link = find_interface(self._ip, self._interface)
        if link is None:
            raise ResourceError(problem)
        self._interface = link.name
        return link

    def _found(self) -> list[Address]:
        return [address for address in netlink.addresses(self._ip.version) if address.ip.ip == self._ip.ip]

    def _link_of(self, found: list[Address]) -> Link | None:
        """The interface that has it, if it is the right one."""
        numbers = {address.index for address in found}
        if self._interface is not None:
            link = netlink.link(self._interface)
            return link if link is not None and link.index in numbers else None
        link = next((link for link in netlink.links() if link.index in numbers), None)
        if link is not None:
            self._interface = link.name
        return link

    def _add(self, link: Link) -> None:
        with _explained(f"cannot put {self._ip} on {link.name}"):
            netlink.add_address(link.index, self._ip)

    def _set_up(self, link: Link) -> None:
        if self._ip.version != 4:
            return
        for name, value in _SETTINGS:
            switch = Path(f"/proc/sys/net/ipv4/conf/{link.name}/{name}")
            try:
                if int(switch.read_text()) < value:
                    switch.write_text(str(value))
            except (OSError, ValueError) as error:
                log.warning("vip.setting_not_made", setting=name, interface=link.name, error=str(error))

    async def _meet(self, link: Link) -> None:
        """Be ready for the connections that the node has that leaves."""
        with _explained(f"cannot ask for {self._ip} on {link.name}"):
            announcer = self._announcer_for(link)
        await self._handover.meet(link, announcer, self._announce_again)

    async def _drain(self) -> None:
        link = netlink.link(self._interface or "")
        if link is not None and link.running:
            burst_s = self._burst_interval_s * (2 ** (self._burst_count - 1) - 1)
            # A little more: the last of them must have arrived.
            await self._handover.drain(link, burst_s + 0.1, self.spec.stop_timeout_ms / 1000 - REMOVE_S)

    def _announce_again(self) -> None:
        """The node that had it is gone by now: whoever still turns to that one hears where it is."""
        if self._wanted and self._hushed is None and self._announcer is not None:
            with contextlib.suppress(OSError):
                self._announcer.announce()

    def _announcer_for(self, link: Link) -> Announcer:
        """The announcer; a new one when the interface is another or has another MAC address."""
        old = self._announcer
        if old is None or (old.link.index, old.link.mac) != (link.index, link.mac):
            if old is not None:
                old.close()
            self._announcer = Announcer(link, self._ip.ip)
        assert self._announcer is not None
        return self._announcer

    def _announce_burst(self, link: Link) -> None:
        """Announce now, and the rest of the burst in the background. Raises ResourceError."""
        with _explained(f"cannot announce {self._ip} on {link.name}"):
            announcer = self._announcer_for(link)
            announcer.announce()
        if self._burst_task is not None:
            self._burst_task.cancel()
        self._burst_task = asyncio.create_task(self._rest_of_burst(announcer))

    async def _rest_of_burst(self, announcer: Announcer) -> None:
        pause = self._burst_interval_s
        for _ in range(self._burst_count - 1):
            await asyncio.sleep(pause)
            pause *= 2
            # The link may go down meanwhile; `watch` announces anew when it is up.
            with contextlib.suppress(OSError):
                announcer.announce()

    def _speak(self) -> None:
        if self._hushed is not None:
            self._hushed.cancel()
            self._hushed = None

    def _speak_again(self) -> None:
        if (left_s := self._handover.left_s) > 0:
            self._hushed = asyncio.get_running_loop().call_later(left_s, self._speak_again)
            return
        self._hushed = None
        self._handover.stay()
        if self._wanted and self._announcer is not None:
            self._burst_task = asyncio.create_task(self._rest_of_burst(self._announcer))

    def _end_announcing(self) -> None:
        self._speak()
        if self._burst_task is not None:
            self._burst_task.cancel()
            self._burst_task = None
        if self._announcer is not None:
            self._announcer.close()
            self._announcer = None


class _Watcher:
    """What `Vip.watch` does, while it does it."""

    def __init__(self, vip: Vip, report: Report) -> None:
        self._vip = vip
        self._report = report
        self._touched = asyncio.Event()
        self._link: Link | None = None
        self._problem = ""
        self._conflicts: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        vip = self._vip
        if vip._wanted is None:
            vip._wanted = bool(vip._found())
            if not vip._wanted:
                self._report(Observation("stopped", "the address is not there"))
        periodic = vip.context.tasks.keep(f"announcements of {vip.spec.name}", self._announce_on)
        try:
            with netlink.Events.shared().subscribed(self._wake):
                while True:
                    self._touched.clear()
                    self._look()
                    await self._touched.wait()
        finally:
            periodic.cancel()
            if self._conflicts is not None:
                self._conflicts.cancel()

    def _wake(self, index: int) -> None:
        if index == 0 or self._link is None or index == self._link.index:
            self._touched.set()

    def _look(self) -> None:
        """See what has become of the interface and the address, and mend it."""
        vip = self._vip
        try:
            link = netlink.link(vip._home())
            self._follow(link)
            if link is None or not link.running:
                gone = f"interface {vip._interface} is gone"
                self._fail(gone if link is None else _down(link.name))
            elif vip._wanted and link.index not in {address.index for address in vip._found()}:
                vip._add(link)
                vip._announce_burst(link)
                self._well("the address was removed by something else and has been put back")
            elif self._problem:
                vip._announce_burst(link)
                self._well("the link is up again")
        except (OSError, ResourceError) as error:
            self._fail(str(error))

    def _fail(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.warning("vip.failed", resource=self._vip.spec.name, problem=problem)
            self._report(Observation("failed", problem))

    def _well(self, detail: str) -> None:
        self._problem = ""
        log.warning("vip.mended", resource=self._vip.spec.name, detail=detail)
        self._report(Observation("running", detail))

    def _follow(self, link: Link | None) -> None:
        """Hear and announce with the interface's number and MAC address as they are now."""
        known, self._link = self._link, link
        if link is None or (known and (known.index, known.mac) == (link.index, link.mac)):
            return
        if self._conflicts is not None:
            self._conflicts.cancel()
        if link.ethernet:
            vip = self._vip
            self._conflicts = vip.context.tasks.keep(
                f"conflicts of {vip.spec.name}",
                lambda: watch_conflicts(
                    vip.spec.name, link, vip._ip.ip, self._probe, vip._interval_s, self._report, self._leaves
                ),
            )
        if known is not None and self._vip._wanted and link.running:
            self._vip._announce_burst(link)

    def _leaves(self) -> bool:
        return self._vip._hushed is not None

    def _probe(self) -> None:
        if self._vip._wanted and not self._leaves() and self._link is not None and not self._problem:
            with contextlib.suppress(OSError):
                self._vip._announcer_for(self._link).probe()

    async def _announce_on(self) -> None:
        while self._vip._interval_s > 0:
            await asyncio.sleep(self._vip._interval_s)
            vip = self._vip
            if vip._wanted and not self._leaves() and self._link is not None and not self._problem:
                with contextlib.suppress(OSError):
                    vip._announcer_for(self._link).announce()


def _name(index: int) -> str:
    return next((link.name for link in netlink.links() if link.index == index), f"interface {index}")


def _down(interface: str) -> str:
    return f"the link of {interface} is down"


@contextlib.contextmanager
def _explained(what: str) -> Any:
    try:
        yield
    except OSError as error:
        raise ResourceError(f"{what}: {error.strerror or error}") from None
