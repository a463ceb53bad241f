"""Looks after a VIP while it runs: checks it whenever the watcher wakes it, announces and defends it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from hactl.linux.errors import OperationError
from hactl.linux.network import Network
from hactl.linux.rtnl import Link
from hactl.resources.base import Observation
from hactl.resources.vip.duplicate_address import Claims, watch_conflicts
from hactl.resources.vip.interface import no_own_address
from hactl.resources.vip.watcher import Watcher
from hactl.supervise import lacks

if TYPE_CHECKING:
    from hactl.resources.vip.resource import Vip

log = structlog.get_logger(__name__)

# So long after the node's own address is gone the VIP is lost, too: a network that is restarted has it back sooner.
OWN_ADDRESS_S = 1.0
LOOK_AGAIN_S = 1.0
# A program that removes the VIP all the time does not keep this node busy: after so many times in a row it pauses.
_AT_ONCE = 5
_PAUSE_S = 0.2
_FORGET_S = 5.0


class Keeper:
    """Of one VIP; `report` is told of changes by others."""

    def __init__(self, vip: Vip, report: Callable[[Observation], None]) -> None:
        self._vip = vip
        self._report = report
        self._touched = asyncio.Event()
        self._watcher = Watcher.shared()
        self._link: Link | None = None
        self._problem = ""
        # The node has no address of its own beside it, until this is over.
        self._alone: asyncio.TimerHandle | None = None
        self._in_a_row, self._meddled_at = 0, float("-inf")
        self._claims: Claims | None = None
        self._conflicts: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        vip = self._vip
        if vip.wanted is None:
            vip.wanted = vip.is_there()
            if not vip.wanted:
                self._report(Observation("stopped", "the address is not there"))
        periodic = vip.context.tasks.keep(f"announcements of {vip.spec.name}", self._announce_on)
        try:
            with self._watcher.waking(self):
                while True:
                    async with Network.shared().turn:
                        self._touched.clear()
                        self._look()
                    await self._touched.wait()
                    if self._in_a_row > _AT_ONCE:
                        await asyncio.sleep(_PAUSE_S)
        finally:
            periodic.cancel()
            self._beside_own()
            if self._conflicts is not None:
                self._conflicts.cancel()

    @property
    def host(self) -> str:
        """The VIP, without its prefix."""
        return self._vip.host

    @property
    def interface(self) -> int:
        """The number of its interface; 0: it is not there."""
        return self._link.index if self._link is not None else 0

    def is_own(self, host: str) -> bool:
        """Whether an address is the node's own, beside which the VIP may be."""
        return host not in self._vip.context.moving

    def wake(self) -> None:
        """Have it look."""
        self._touched.set()

    def _look(self) -> None:
        """Look at the interface and the address, and put them right."""
        try:
            home = self._vip.home()
            link = Network.shared().link(home)
            self._follow(link)
            if link is None or not link.running:
                self._beside_own()
                self._fail(f"interface {home} is gone" if link is None else f"the link of {link.name} is down")
            elif self._vip.wanted:
                self._settle(link)
        except (OSError, OperationError) as error:
            if lacks(error):  # nothing was found out
                self._again(LOOK_AGAIN_S)
            else:
                self._fail(str(error))

    def _again(self, wait_s: float) -> None:
        asyncio.get_running_loop().call_later(wait_s, self._touched.set)

    def _settle(self, link: Link) -> None:
        """Its interface is well: have the address there, beside the node's own."""
        vip, standing = self._vip, self._vip.standing(link)
        if standing in ("alone", "barred"):
            if standing == "alone":
                vip.take_off()
            self._wait_for_own(link)
            return
        went_with_own = self._alone is not None
        self._beside_own()
        if standing != "well":
            vip.set_up(link)
            vip.put_on(link)
        if standing == "missing":
            vip.announce_on(link)
            cause = "with this node's own address" if went_with_own else "by something else"
            self._meddled(f"{vip.ip} was removed from {link.name} {cause} and has been put back")
        elif standing == "misplaced":
            self._meddled(f"{vip.ip} came before this node's own address on {link.name} and was put behind it again")
        elif standing == "preferred":
            self._meddled(f"{vip.ip} on {link.name} was not deprecated any more, as if it were this node's own")
        elif standing == "refused":
            vip.announce_on(link)
            self._meddled(f"{vip.ip} on {link.name} was not in use, as another station had it, and was put on again")
        elif elsewhere := vip.take_off_elsewhere(link):
            self._meddled(f"{vip.ip} was on {elsewhere}, too, and has been taken off there")
        elif self._problem:
            vip.announce_on(link)
            self._well("the link is up again")

    def _wait_for_own(self, link: Link) -> None:
        if self._alone is None:
            self._alone = asyncio.get_running_loop().call_later(OWN_ADDRESS_S, self._touched.set)
            log.warning("vip.alone", resource=self._vip.spec.name, interface=link.name)
        elif self._alone.when() <= asyncio.get_running_loop().time():
            self._fail(no_own_address(self._vip.ip, link))

    def _beside_own(self) -> None:
        if self._alone is not None:
            self._alone.cancel()
            self._alone = None

    def _fail(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.warning("vip.failed", resource=self._vip.spec.name, problem=problem)
            self._report(Observation("failed", problem))

    def _well(self, detail: str) -> None:
        self._problem = ""
        log.warning("vip.well_again", resource=self._vip.spec.name, detail=detail)
        self._report(Observation("running", detail))

    def _meddled(self, change: str) -> None:
        now = asyncio.get_running_loop().time()
        self._in_a_row = self._in_a_row + 1 if now - self._meddled_at < _FORGET_S else 1
        self._problem, self._meddled_at = "", now
        log.warning("vip.put_right", resource=self._vip.spec.name, detail=change)
        self._report(Observation("running", put_right=change))

    def _follow(self, link: Link | None) -> None:
        """Hear and announce with the interface's number and MAC address as they are now."""
        known, self._link = self._link, link
        self._watcher.moved(self, known.index if known is not None else 0)
        if link is None or (known and (known.index, known.mac) == (link.index, link.mac)):
            return
        if self._conflicts is not None and self._claims is not None:
            self._conflicts.cancel()
            self._claims.end()
        vip, defend = self._vip, self._vip.announcements.defend
        if link.ethernet:
            claims = Claims(vip.spec.name, vip.ip.ip, self._probe, defend, self._report, lambda: vip.shared)
            self._claims = claims
            listen = functools.partial(watch_conflicts, claims, link, vip.announcements.interval_s)
            self._conflicts = vip.context.tasks.keep(f"conflicts of {vip.spec.name}", listen)
        if known is not None and vip.wanted and link.running:
            vip.announce_on(link)

    @property
    def _speaks(self) -> bool:
        return bool(self._vip.wanted) and not self._vip.leaves and self._link is not None and not self._problem

    def _probe(self) -> None:
        if self._speaks and self._link is not None:
            with contextlib.suppress(OSError):
                self._vip.announcements.by(self._link).probe()

    async def _announce_on(self) -> None:
        interval_s = self._vip.announcements.interval_s
        while interval_s > 0:
            await asyncio.sleep(interval_s)
            self._touched.set()  # events of other interfaces do not wake it
            if self._speaks and self._link is not None:
                with contextlib.suppress(OSError):
                    self._vip.announcements.by(self._link).announce()
