"""Makes the health checks of the configuration in use, each in a task of its own, and posts how they stand.

What is posted is written to etcd by the decide side. So a check that stands as before is posted again only when its
text is another, and that at most once a minute.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from election.records import CheckReport
from fencing.linux.clock import utc_z
from hactl.daemon.observe.node_health.kinds import CannotTellError, Found, look
from hactl.decide.node_health import Streak, next_turn, own_checks
from hactl.decide.reading import ReadState
from hactl.model.events import NodeChecked
from hactl.model.health import CheckSpec
from hactl.supervise import Tasks

SAME_AGAIN_S = 60.0
_DO = "see docs/node-health.md; leave the check out where the machine cannot make it"

# Source, problem ("": none), and what to do.
Trouble = Callable[[str, str, str], None]


class NodeHealth:
    """`state`: the decide side's. `cgroup`: below which commands get control groups of their own."""

    def __init__(
        self,
        state: Callable[[], ReadState],
        cgroup: str | None,
        tasks: Tasks,
        post: Callable[[NodeChecked], None],
        trouble: Trouble,
    ) -> None:
        self._state, self._cgroup, self._tasks = state, cgroup, tasks
        self._post, self._trouble = post, trouble
        self._specs: tuple[CheckSpec, ...] = ()
        self._jobs: dict[CheckSpec, asyncio.Task[None]] = {}
        self._now: dict[str, CheckReport] = {}
        self._posted: dict[str, CheckReport] = {}
        self._posted_at: dict[str, float] = {}
        self._problems: dict[str, str] = {}
        self._changed = asyncio.Event()

    @property
    def checks(self) -> Mapping[str, CheckReport]:
        """How the checks stand, with their last values."""
        return self._now

    def look(self, state: ReadState) -> None:
        """After every step of the decide side. Cheap."""
        if state.cluster is not None and state.cluster.health is not self._specs:
            self._specs = state.cluster.health
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        self.look(self._state())
        named = {spec.name for spec in self._specs}
        self._posted = {name: check for name, check in own_checks(self._state()).items() if name in named}
        try:
            while True:
                self._follow(self._specs)
                await self._changed.wait()
                self._changed.clear()
        finally:
            for task in self._jobs.values():
                task.cancel()
            self._jobs = {}

    def _follow(self, specs: tuple[CheckSpec, ...]) -> None:
        for spec in self._jobs.keys() - set(specs):
            self._jobs.pop(spec).cancel()
            if spec.name not in {other.name for other in specs}:
                self._forget(spec.name)
        for spec in specs:
            if spec not in self._jobs:
                self._jobs[spec] = self._tasks.keep(f"health check {spec.name}", lambda spec=spec: self._check(spec))  # type: ignore[misc]

    async def _check(self, spec: CheckSpec) -> None:
        """Make one check, until cancelled."""
        known = self._now.get(spec.name) or own_checks(self._state()).get(spec.name)
        streak = Streak(spec.rise, spec.fall, known.get("ok") if known else None)
        while True:
            try:
                found = await look(spec, self._cgroup)
            except CannotTellError as error:
                self._tell(spec.name, f"its health check {spec.name} cannot be made: {error}")
            else:
                self._tell(spec.name, "")
                self._learn(spec.name, streak.take(found.ok), found)
            now = time.time()
            await asyncio.sleep(next_turn(now, spec.interval_ms / 1000, spec.name) - now)

    def _learn(self, name: str, ok: bool, found: Found) -> None:
        before = self._posted.get(name)
        same = before is not None and before.get("ok") == ok
        since = before.get("since", "") if before is not None and same else utc_z()
        now: CheckReport = {"ok": ok, "text": found.text, "since": since}
        if found.value is not None:
            now["value"] = found.value
        self._now[name] = now
        if same and (before == now or time.monotonic() - self._posted_at.get(name, 0.0) < SAME_AGAIN_S):
            return
        self._posted[name], self._posted_at[name] = now, time.monotonic()
        self._post(NodeChecked(dict(self._posted)))

    def _forget(self, name: str) -> None:
        self._now.pop(name, None)
        self._tell(name, "")
        if self._posted.pop(name, None) is not None:
            self._post(NodeChecked(dict(self._posted)))

    def _tell(self, name: str, problem: str) -> None:
        """The check cannot be made here; "": it can."""
        if self._problems.get(name, "") != problem:
            self._problems[name] = problem
            self._trouble(f"health check {name}", problem, _DO if problem else "")
