"""One VIP on this node.

Options: `address` (with its prefix: "10.0.0.30/24", "fd00::30/64"), `interface` (found by the network the
address lies in, if not given), `announce_burst`, `announce_burst_interval_ms`, `announce_interval_ms`, `drain_ms`.

*Beside the node's own addresses.* No connection of the node's own begins from a VIP: `order`. Where a VIP has become
the primary address of its network all the same, removing it would take all other addresses of that network along;
`promote_secondaries`, set on its interface at the start, keeps them. The node's own questions for a host's MAC
address go out with its own address (`arp_announce`), never with the VIP: a question tells who hears it where the VIP
is, which may be another node by now.

*Moves with `overlap`.* For a moment two nodes have the address. The one that leaves says no more of it from then on
(`stop_announcing`): a word of its burst, after the newcomer's first, would call the hosts back to where it is about
to go. For the connections see `handover`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from hactl.linux.network import Network
from hactl.linux.rtnl import Address, Link
from hactl.model.resources import VipSpec
from hactl.resources.base import NodeContext, Observation, ResourceError
from hactl.resources.vip.announcing import Announcements
from hactl.resources.vip.handover import REPORT_S, Handover
from hactl.resources.vip.interface import find_interface, no_own_address, parse
from hactl.resources.vip.keeper import Keeper
from hactl.resources.vip.order import Standing, standing

log = structlog.get_logger(__name__)

# A move that has come to no end after this, or when the other node has announced it and the drain is over: a node
# that still has the address announces it again.
LEAVE_S = 5.0
# The part of the stop's time that is kept for taking the address off, at least.
REMOVE_S = 1.0
# IPv4's settings of its interface: promote an address when the first of its network goes; ask with an address of the
# network asked in. Larger values are as good.
_PROMOTE = "promote_secondaries"
_SETTINGS = ((_PROMOTE, 1), ("arp_announce", 2))


class Vip:
    """An address of a group."""

    def __init__(self, spec: VipSpec, context: NodeContext) -> None:
        """Raises ResourceError when `address` is none."""
        self.spec = spec
        self.context = context
        self.ip = parse(spec)
        self.host = str(self.ip.ip)
        self._given = spec.options.interface
        # None: found by the address's network, and then kept, so that the guard and the start agree.
        self.interface = self._given
        self.announcements = Announcements(spec.options, self.ip.ip)
        self._handover = Handover(spec.name, self.ip.ip, spec.options.drain_ms / 1000)
        self._leaves: asyncio.TimerHandle | None = None
        self._beside_until = float("-inf")
        # None: not yet known, a daemon before this one may have started it.
        self.wanted: bool | None = None
        context.moving.add(self, self.host)

    async def start(self, env: Mapping[str, str]) -> None:
        """Put the address on and announce it; return when the first announcement is out. HACTL_BESIDE in `env`:
        another node has it until it runs here (`overlap`)."""
        self._stay()
        async with Network.shared().turn:
            link = self._prepare()
            if not env.get("HACTL_BESIDE"):
                self._handover.stay()
                self._handover.alone()
                self._begin(link)
                return
        self._beside_until = asyncio.get_running_loop().time() + REPORT_S + self._handover.drain_s + 1
        await self._meet(link)
        async with Network.shared().turn:
            self._begin(link)

    async def stop(self) -> None:
        """Take the address off, wherever it is, and see that it is gone; after `stop_announcing`, when no connection to
        it is left, or `drain_ms` are over."""
        self.wanted = False
        leaves = self.leaves
        self._end_announcing()
        if leaves:
            await self._drain()
        await self.kill()

    async def kill(self) -> None:
        """As `stop`, but at once."""
        self.wanted = False
        self._end_announcing()
        self._handover.stay()
        async with Network.shared().turn:
            self.take_off()
        await self._handover.end()

    async def probe(self) -> Observation:
        """Whether the address is on its interface, and that has a link."""
        with _explained(f"cannot look for {self.ip}"):
            mine = Network.shared().having(self.ip)
            link = self._link_of(mine)
            if mine and link is None:
                where = _names(mine)
                return Observation("failed", f"{self.ip.ip} is on {where}, not on {self.interface}")
            if link is not None and not link.running:
                return Observation("failed", f"the link of {link.name} is down")
        return Observation("running" if mine else "stopped")

    async def monitor(self) -> Observation:
        """As `probe`: duplicates are heard by `watch` all the time."""
        return await self.probe()

    async def watch(self, report: Callable[[Observation], None]) -> None:
        """Put the address back when it is lost; announce it; report the link's state, and other hosts that
        claim it."""
        await Keeper(self, report).run()

    async def ready(self) -> str:
        """Why it could not be started here: no interface for it, or no link."""
        with _explained("cannot list the interfaces"):
            problem, link = self._find(self.interface if self.wanted else self._given)
        if link is not None and not link.running:
            return f"the link of {link.name} is down"
        return problem

    def announce(self) -> None:
        """Say again where it is."""
        if self.wanted and not self.leaves:
            self.announcements.once()

    def stop_announcing(self) -> None:
        """Another node is about to announce the address, and this one to let it go: say no more of it, unless it is
        still here after LEAVE_S."""
        self._stay()
        self.announcements.pause()
        self._leaves = asyncio.get_running_loop().call_later(LEAVE_S, self._left)
        with contextlib.suppress(OSError):
            if (link := Network.shared().link(self.interface or "")) is not None:
                self._handover.leave(link)

    def guard_steps(self) -> tuple[dict[str, Any], ...]:
        """Remove it from its interface. Raises ResourceError when it is not known where it belongs: then it
        must not be started."""
        if not self.wanted:
            # Before a start: the node's own address may have moved to a bridge or a bond since it ran here last.
            self.interface = self._given
        address, prefix = str(self.ip.ip), self.ip.network.prefixlen
        return ({"kind": "address", "interface": self.home(), "address": address, "prefix": prefix},)

    # --- for the keeper -------------------------------------------------------------------------------------

    @property
    def leaves(self) -> bool:
        """It is about to be another node's."""
        return self._leaves is not None

    @property
    def shared(self) -> bool:
        """Another node is meant to have it, too, for a moment."""
        return self.leaves or asyncio.get_running_loop().time() < self._beside_until

    def home(self) -> str:
        """The name of its interface. Raises ResourceError."""
        return self.interface or self._place().name

    def standing(self, link: Link) -> Standing:
        """How it stands among the addresses of its interface. Raises OSError."""
        return standing(self.ip, Network.shared().on(link, self.ip.version), self.context.moving)

    def put_on(self, link: Link) -> None:
        """Have it where it should be among the addresses of its interface. Raises ResourceError."""
        with _explained(f"cannot put {self.ip} on {link.name}"):
            now = self.standing(link)
            if now in ("alone", "barred"):
                raise ResourceError(no_own_address(self.ip, link))
            if now == "misplaced" and not _promotes(link.name):
                raise ResourceError(f"{self.ip} is the primary address of {link.name}: set {_PROMOTE} there")
            if now in ("misplaced", "refused"):
                self.take_off()
            if now != "well":
                Network.shared().put_on(link, self.ip)
            self.take_off_elsewhere(link)

    def take_off(self) -> None:
        """Remove it, wherever it is. Raises ResourceError."""
        network = Network.shared()
        with _explained(f"cannot remove {self.ip}"):
            if not network.having(self.ip):
                network.look_anew(self.ip.version)  # where it is not known to be, it is looked for
            for address in network.having(self.ip):
                network.take_off(address)
            if left := network.having(self.ip):
                where = _names(left)
                raise ResourceError(f"{self.ip.ip} was removed and is still there, on {where}: who puts it back?")

    def take_off_elsewhere(self, link: Link) -> str:
        """Remove it from all other interfaces: the guard would leave it there, and connections might begin from it.
        Their names. Raises OSError."""
        network = Network.shared()
        astray = [address for address in network.having(self.ip) if address.index != link.index]
        names = _names(astray)
        for address in astray:
            network.take_off(address)
        return names

    def announce_on(self, link: Link) -> None:
        """A burst of announcements begins. Raises ResourceError."""
        with _explained(f"cannot announce {self.ip} on {link.name}"):
            self.announcements.begin(link)

    def is_there(self) -> bool:
        """Whether it is on any interface. Raises OSError."""
        return bool(Network.shared().having(self.ip))

    def set_up(self, link: Link) -> None:
        """IPv4's settings of its interface."""
        if self.ip.version != 4:
            return
        for name, value in _SETTINGS:
            switch = _switch(link.name, name)
            try:
                if int(switch.read_text()) < value:
                    switch.write_text(str(value))
            except (OSError, ValueError) as error:
                log.warning("vip.setting_not_made", setting=name, interface=link.name, error=str(error))

    # --- inside ---------------------------------------------------------------------------------------------

    def _prepare(self) -> Link:
        """Its interface, which can be used. Raises ResourceError."""
        link = self._place()
        if not link.running:
            raise ResourceError(f"{self.ip} cannot be used: the link of {link.name} is down")
        self.set_up(link)
        return link

    def _begin(self, link: Link) -> None:
        """Put it on there, and announce it. Raises ResourceError."""
        self.wanted = True
        self.put_on(link)
        self.announce_on(link)
        log.info("vip.started", resource=self.spec.name, address=str(self.ip), interface=link.name)

    def _find(self, interface: str | None) -> tuple[str, Link | None]:
        network, moving = Network.shared(), self.context.moving
        own = [address for address in network.addresses(self.ip.version) if address.host not in moving]
        return find_interface(self.ip, interface, network.links(), own)

    def _place(self) -> Link:
        """The interface it belongs on; it must have an address in a network that the VIP lies in."""
        with _explained("cannot list the interfaces"):
            problem, link = self._find(self.interface)
        if link is None:
            raise ResourceError(problem)
        self.interface = link.name
        return link

    def _link_of(self, mine: Sequence[Address]) -> Link | None:
        """The interface that has it, if it is the right one."""
        numbers = {address.index for address in mine}
        if self.interface is not None:
            link = Network.shared().link(self.interface)
            return link if link is not None and link.index in numbers else None
        link = next((link for link in Network.shared().links() if link.index in numbers), None)
        if link is not None:
            self.interface = link.name
        return link

    async def _meet(self, link: Link) -> None:
        """Be ready for the connections of the node that leaves."""
        with _explained(f"cannot ask for {self.ip} on {link.name}"):
            announcer = self.announcements.by(link)
        # When that is over the node that had it is gone: hosts that still turn to it hear where the VIP is.
        await self._handover.meet(link, announcer, self.announce)

    async def _drain(self) -> None:
        link = Network.shared().link(self.interface or "")
        if link is not None and link.running:
            # A little more: the last announcement must have arrived.
            most_s = self.spec.stop_timeout_ms / 1000 - REMOVE_S
            await self._handover.drain(link, self.announcements.burst_s + 0.1, most_s)

    def _stay(self) -> None:
        if self._leaves is not None:
            self._leaves.cancel()
            self._leaves = None

    def _left(self) -> None:
        """The move should be over, and the address is still here."""
        if (left_s := self._handover.left_s) > 0:
            self._leaves = asyncio.get_running_loop().call_later(left_s, self._left)
            return
        self._leaves = None
        self._handover.stay()
        if self.wanted:
            self.announcements.resume()

    def _end_announcing(self) -> None:
        self._stay()
        self.announcements.end()


def _switch(interface: str, name: str) -> Path:
    return Path(f"/proc/sys/net/ipv4/conf/{interface}/{name}")


def _promotes(interface: str) -> bool:
    """Whether the kernel keeps the other addresses of a network whose primary one goes."""
    try:
        return any(int(_switch(name, _PROMOTE).read_text()) for name in (interface, "all"))
    except (OSError, ValueError):
        return False


def _names(addresses: Iterable[Address]) -> str:
    """The interfaces of these addresses."""
    return ", ".join(sorted({Network.shared().name(address.index) for address in addresses}))


@contextlib.contextmanager
def _explained(problem: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResourceError(f"{problem}: {error.strerror or error}") from None
