"""Asks the addresses of other nodes' groups as a client does (`probes` of a group), and tells the decide side.

What the answers come to is decided by `hactl.decide.rise_fall` and `hactl.decide.client_view`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import NamedTuple

import structlog

from hactl.daemon.daemon_view import DaemonView
from hactl.daemon.observe.health_checks import rounds
from hactl.decide.client_view import epoch_to_ask
from hactl.decide.reading import ReadState
from hactl.decide.rise_fall import RiseFall
from hactl.model.cluster import ClusterSpec
from hactl.model.events import Event, GroupProbed
from hactl.model.probes import HealthProbe
from hactl.probes.ask import ask

log = structlog.get_logger()


class _Job(NamedTuple):
    """A probe of a group: the `number`-th of as many as `of`. `host`: the group's first address."""

    group: str
    number: int
    of: int
    host: str
    probe: HealthProbe


class _Ownership:
    """The answers in one ownership of a group. `words`: of each probe, why it has failed, "" while it is well; a probe
    that had no answer that counts is not there."""

    def __init__(self, epoch: int, since_s: float) -> None:
        self.epoch, self.since_s = epoch, since_s
        self.counted: dict[int, RiseFall] = {}
        self.words: dict[int, str] = {}
        self.told: tuple[bool, str] | None = None


class GroupProbes:
    """Runs until cancelled. `post` gets this node's verdicts."""

    def __init__(self, daemon: DaemonView, post: Callable[[Event], None]) -> None:
        self._daemon, self._post = daemon, post
        self._jobs: dict[_Job, asyncio.Task[None]] = {}
        self._ownerships: dict[str, _Ownership] = {}
        self._cluster: ClusterSpec | None = None
        self._changed = asyncio.Event()

    def look(self, state: ReadState) -> None:
        """After every step of the decide side. Cheap."""
        if state.cluster is not self._cluster:
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        self._changed.set()
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                self._cluster = self._daemon.state.cluster
                self._follow(self._cluster)
        finally:
            self._follow(None)

    def _follow(self, cluster: ClusterSpec | None) -> None:
        wanted = {
            (group.name, number): _Job(group.name, number, len(group.probes), group.first_vip, probe)
            for group in (cluster.groups if cluster else ())
            for number, probe in enumerate(group.probes)
        }
        for job in [job for job in self._jobs if wanted.get(job[:2]) != job]:
            self._jobs.pop(job).cancel()
            self._ownerships.pop(job.group, None)
        running = {job[:2] for job in self._jobs}
        for job in [job for place, job in wanted.items() if place not in running]:
            name = f"probe {job.number + 1} of group {job.group}"
            look = functools.partial(self._look, job)
            begin = functools.partial(rounds, f"{self._daemon.config.node}/{name}", job.probe.rhythm, look)
            self._jobs[job] = self._daemon.tasks.keep(name, begin)

    async def _look(self, job: _Job) -> None:
        """Ask, if it is for this node to ask now."""
        epoch = epoch_to_ask(self._daemon.state, job.group)
        known, now = self._ownerships.get(job.group), asyncio.get_running_loop().time()
        if not epoch:
            self._ownerships.pop(job.group, None)
            return
        if known is None or known.epoch != epoch:
            known = self._ownerships[job.group] = _Ownership(epoch, now)
        if now - known.since_s < job.probe.rhythm.start_delay_ms / 1000:
            return
        outcome = await ask(job.probe, host=job.host, env=self._environment(job.group, epoch))
        if self._ownerships.get(job.group) is known:
            self._count(job, known, outcome.ok, outcome.words)

    def _count(self, job: _Job, known: _Ownership, ok: bool, words: str) -> None:
        rhythm = job.probe.rhythm
        counted = known.counted.setdefault(job.number, RiseFall(rhythm.rise, rhythm.fall))
        failed = counted.see(ok)
        if not ok and not failed:
            about = {"group": job.group, "detail": words, "times": counted.in_a_row, "of": rhythm.fall}
            log.info("check_not_well", check=f"probe {job.number + 1} of the group", **about)
            return
        if ok == failed:
            return  # not yet well again
        known.words[job.number] = words if failed else ""
        why = next((known.words[number] for number in sorted(known.words) if known.words[number]), "")
        if why or len(known.words) == job.of:
            self._tell(job.group, known, well=not why, why=why)

    def _tell(self, group: str, known: _Ownership, *, well: bool, why: str) -> None:
        """Once for each change: an error's words may be others each time."""
        if known.told is None or known.told[0] != well:
            known.told = (well, why)
            log.info("group_probed", group=group, epoch=known.epoch, well=well, detail=why)
            self._post(GroupProbed(group, known.epoch, well, why))

    def _environment(self, group: str, epoch: int) -> dict[str, str]:
        config = self._daemon.config
        where = {"HACTL_CLUSTER": config.cluster, "HACTL_NODE": config.node}
        return {**where, "HACTL_GROUP": group, "HACTL_EPOCH": str(epoch)}
