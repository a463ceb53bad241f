"""Tells the decide side how this node's HAProxy serves: whether it is well, which matters to the groups whose clients
it answers, and whether it answers for the services that groups require (docs/protocol.md, *Readiness*)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping

from hactl.haproxy.served import questions, unserved
from hactl.haproxy.settings import HaproxyError
from hactl.model.events import HaproxySeen
from hactl.model.service import ServiceSpec

LOOK_EVERY_S = 0.5
# A HAProxy that ends and is back within this time is no reason to move a group; nor are servers that are so.
GRACE_S = 1.0


class Serving:
    """`problem`: why HAProxy is not well, "" when it is. `ask`: a command of its socket, answered; raises HaproxyError.
    `post` gets the changes."""

    def __init__(
        self,
        problem: Callable[[], str],
        ask: Callable[[str], Awaitable[str]],
        post: Callable[[HaproxySeen], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._problem, self._ask, self._post, self._now = problem, ask, post, now
        self._groups: frozenset[str] | None = None
        self._invalid = ""
        self._required: tuple[ServiceSpec, ...] = ()
        self._unserved: Mapping[str, str] | None = None
        # Of HAProxy itself ("") and of each service that is required: since when it is not well, and what was told.
        self._ill_since: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self._posted: HaproxySeen | None = None

    def require(self, services: tuple[ServiceSpec, ...]) -> None:
        """These are the services that groups require."""
        self._required = services

    def look(self, groups: Collection[str] | None = None, invalid: str = "") -> None:
        """Look at HAProxy now. `groups`: of which it binds a VIP, after a try to have it run as configured. `invalid`:
        why there is no file for it."""
        if groups is not None:
            self._groups, self._invalid = frozenset(groups), invalid
        if self._groups is None:
            return  # nothing was tried yet
        problem = self._invalid or (self._problem() if self._groups or self._required else "")
        if self._required and self._unserved is None and not problem:
            return  # not asked yet
        known = self._unserved or {}
        found = {"": problem, **{service.name: problem or known.get(service.name, "") for service in self._required}}
        certain = [self._count(name, why) for name, why in found.items()]
        if self._posted is None and not all(certain):
            return  # the previous daemon's word stands until this is certain
        failing = {service.name: self._told[service.name] for service in self._required if self._told[service.name]}
        seen = HaproxySeen(self._told[""], self._groups, failing)
        if seen != self._posted:
            self._posted = seen
            self._post(seen)

    def _count(self, name: str, why: str) -> bool:
        """Take notice of what was found; whether it has lasted long enough to be told, or is well."""
        if not why:
            self._ill_since.pop(name, None)
        lasted = not why or self._now() - self._ill_since.setdefault(name, self._now()) >= GRACE_S
        self._told[name] = why if lasted else self._told.get(name, "")
        return lasted

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._ask_for_services()
            self.look()

    async def _ask_for_services(self) -> None:
        """Of one that does not answer, `problem` tells soon: until then the last answers stand."""
        required = self._required
        if not required or self._problem():
            return
        try:
            answers = [await self._ask(question) for question in questions(required)]
        except HaproxyError:
            return
        self._unserved = unserved(required, "\n\n".join(answers))
