"""A VIP's move with `overlap` that breaks no TCP connection: the parts of its new node and of its old one.

For a moment both have the address, and hosts switch from the one to the other when they hear the new node's
announcements: in the middle of their connections. The new node knows nothing of those, and its kernel would answer
them with RST. So, while the overlap lasts, it passes their segments on to the old node (`meet`). That one answers no
more questions for the address as soon as it hears the newcomer (`leave`), and keeps it until they are over (`drain`).
The new node learns the old one's MAC address by asking for the VIP on the wire, before it has it: nobody needs to know
which networks the nodes share.

How long: the old node keeps the address until the newcomer's burst of announcements is over - Linux hosts heed
none for a second after a change (`locktime`) - and until its last connection is, at most `drain`. The connections that
are left then are ended with RST, so that nobody waits for an answer. The new node passes on for longer than that can
take. Either node's death costs its connections, as without all this.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import structlog

from hactl.linux import connections
from hactl.linux.errors import OperationError
from hactl.linux.rtnl import Link
from hactl.resources.vip.arp import Announcer, Listener
from hactl.resources.vip.nft import Rules

log = structlog.get_logger(__name__)

# The old node answers within a millisecond, unless it is very busy.
ANSWER_S = 0.2
# From the new node's first announcement until the old one has read that it runs: a renewal, and a slow store.
REPORT_S = 2.0
LOOK_EVERY_S = 0.1


class Handover:
    """This node's part in the moves of one VIP."""

    def __init__(self, name: str, ip: IPv4Address | IPv6Address, drain_s: float) -> None:
        """`name`: the resource's, for the log. `drain_s` 0: nothing is passed on, and nothing waited for."""
        self._name, self._ip, self.drain_s = name, ip, drain_s
        self._rules = Rules(ip)
        # An earlier daemon may have left some.
        self._has_rules = True
        self._reported = ""
        self._background: asyncio.Task[None] | None = None
        self._newcomer: asyncio.Task[Exception | None] | None = None
        # When the newcomer was first heard (the event loop's time).
        self._announced_at: float | None = None

    async def meet(self, link: Link, announcer: Announcer, then: Callable[[], None]) -> None:
        """Before the VIP is put on here while another node has it: pass on to that node the segments of its
        connections. `then` is called when that is over."""
        self.stay()
        self._leave_background()
        if not self.drain_s or not link.ethernet:
            return
        try:
            mac = await self._ask(link, announcer)
            if mac is None:
                log.warning("vip.not_met", resource=self._name, problem="the node that has it does not answer for it")
                return
            lasts_s = REPORT_S + self.drain_s
            self._has_rules = True
            await self._rules.forward(link, mac, lasts_s)
        except (OSError, OperationError) as error:
            self._tell(error)
            return
        log.info("vip.passing_on", resource=self._name, to=mac.hex(":"), seconds=lasts_s)
        self._background = asyncio.create_task(self._end_later(lasts_s, then))

    def alone(self) -> None:
        """The VIP is put on here and nobody else has it: no rule may be left. In the background: a takeover
        does not wait for it."""
        self._leave_background()
        if self._has_rules:
            self._background = asyncio.create_task(self.end())

    def leave(self, link: Link) -> None:
        """The VIP is about to be announced by another node: from then on, answer nobody who asks for it."""
        self.stay()
        self.alone()
        if self.drain_s and link.ethernet:
            self._newcomer = asyncio.create_task(self._make_way(link))

    def stay(self) -> None:
        """It is not, after all."""
        self._announced_at = None
        if self._newcomer is not None:
            self._newcomer.cancel()
            self._newcomer = None
            self.alone()

    @property
    def left_s(self) -> float:
        """How long it may still be until the VIP is taken off here, if the new node has announced it; else 0."""
        if self._announced_at is None:
            return 0.0
        return self._announced_at + self.drain_s - asyncio.get_running_loop().time()

    async def drain(self, link: Link, burst_s: float, at_most_s: float) -> None:
        """On the node that is left, when the VIP runs on another: return when it may be taken off. `burst_s`: how
        long announcements go on after the first."""
        newcomer, self._newcomer = self._newcomer, None
        if newcomer is None:
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            if self._announced_at is None:
                # Not heard: it may have been announced at any time until now.
                newcomer.cancel()
                await self._silence(link)
            elif (problem := await newcomer) is not None:
                raise problem
            assert self._announced_at is not None
            end = min(self._announced_at + self.drain_s, began + at_most_s)
            await asyncio.sleep(min(self._announced_at + burst_s, end) - loop.time())
            # The kernel tells nobody when the last one ends.
            while loop.time() < end and await asyncio.to_thread(connections.any_to, self._ip):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_EVERY_S)
            seconds = round(loop.time() - self._announced_at, 3)
            cut = await asyncio.to_thread(connections.abort_to, self._ip)
        except (OSError, OperationError) as error:
            self._tell(error)
            return
        log.info("vip.drained", resource=self._name, seconds=seconds, cut=cut)

    async def end(self) -> None:
        """Leave no rule behind. They lapse by themselves where that fails."""
        if self._background is not asyncio.current_task():
            self._leave_background()
        if self._has_rules:
            try:
                await self._rules.remove()
                self._has_rules = False
            except (OSError, OperationError) as error:
                self._tell(error)

    async def _ask(self, link: Link, announcer: Announcer) -> bytes | None:
        with contextlib.closing(Listener(link, self._ip)) as listener:
            announcer.probe()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_S):
                    return await listener.claim()
        return None

    async def _make_way(self, link: Link) -> Exception | None:
        """Silence, once another node has said that the VIP is there; or why not."""
        try:
            with contextlib.closing(Listener(link, self._ip)) as listener:
                await listener.claim()
            await self._silence(link)
        except (OSError, OperationError) as error:
            return error
        return None

    async def _silence(self, link: Link) -> None:
        self._announced_at = asyncio.get_running_loop().time()
        self._leave_background()
        self._has_rules = True
        await self._rules.silence(link, self.drain_s + REPORT_S)

    async def _end_later(self, seconds: float, then: Callable[[], None]) -> None:
        await asyncio.sleep(seconds)
        await self.end()
        then()

    def _leave_background(self) -> None:
        if self._background is not None:
            self._background.cancel()
            self._background = None

    def _tell(self, error: Exception) -> None:
        if str(error) != self._reported:
            self._reported = str(error)
            log.warning("vip.connections_not_handed_over", resource=self._name, problem=self._reported)
