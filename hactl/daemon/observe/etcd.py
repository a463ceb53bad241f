"""Looks at etcd's own state every few seconds, beside the deciding loop, which goes by its own reads and writes alone.

The results are for status, metrics and the history.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog

from election.etcd.facts import EndpointFacts
from election.store import Store, StoreError
from hactl.config.etcd_admin import beside, etcdctl_of
from hactl.config.node import NodeConfig
from hactl.daemon.observe.etcd_metrics import EtcdMetrics
from hactl.decide.reading import ReadState
from hactl.model.cluster import ClusterSpec
from hactl.status.etcd.judge import EtcdState, judge
from hactl.status.etcd.problems import members_of
from hactl.status.etcd.strain import Writes

log = structlog.get_logger()

LOOK_S, SOON_S = 5.0, 1.0
TIMEOUT_S = 2.0
# Writes are counted for so long.
WRITES_S = 10.0

Look = Callable[[float], tuple[EndpointFacts, ...]]
Note = Callable[[str, dict[str, Any]], None]


def shown(etcd: EtcdState, etcdctl: str) -> dict[str, Any]:
    """For the status document."""
    return {**etcd.document(), "etcdctl": etcdctl}


class EtcdObserver:
    """`latest`: the last result."""

    def __init__(self, config: NodeConfig, store: Store, note: Note, metrics: EtcdMetrics | None = None) -> None:
        # A store that is no etcd has none.
        self._look: Look | None = getattr(store, "look", None)
        self._config, self._note = config, note
        self._metrics = metrics or EtcdMetrics(config)
        self.etcdctl = etcdctl_of(config)
        self.latest = EtcdState()
        self._writes: deque[tuple[float, bool]] = deque(maxlen=200)
        self._seen: set[str] = set()
        self._reported: set[str] = set()
        self._logged = False

    async def run(self, state: Callable[[], ReadState]) -> None:
        """Until cancelled."""
        while True:
            await self.look(state().cluster)
            soon = not state().knows_store or any(problem.level == "error" for problem in self.latest.problems)
            await asyncio.sleep(SOON_S if soon else LOOK_S)

    async def look(self, cluster: ClusterSpec | None = None) -> None:
        """Once."""
        if self._look is None:
            return
        with contextlib.suppress(StoreError):  # it is closed, for the daemon ends
            self.latest = await asyncio.to_thread(self._judged, self._look, cluster, self._recent_writes())
            self.etcdctl = self.latest.beside.etcdctl
            self._log_once(cluster)
            self._tell()

    def _judged(self, look: Look, cluster: ClusterSpec | None, writes: Writes) -> EtcdState:
        facts = look(TIMEOUT_S)
        self._metrics.gather(facts)
        known = dataclasses.replace(beside(self._config, cluster, writes), measured=self._metrics.latest)
        return judge(self._metrics.with_quotas(facts), known)

    def observe_txn(self, outcome: str) -> None:
        """A transaction has ended."""
        self._writes.append((time.monotonic(), outcome == "unknown"))

    def document(self) -> dict[str, Any]:
        """For the status document."""
        return shown(self.latest, self.etcdctl)

    def _recent_writes(self) -> Writes:
        since = time.monotonic() - WRITES_S
        recent = [unanswered for at, unanswered in self._writes if at >= since]
        return Writes(len(recent), sum(recent))

    def _log_once(self, cluster: ClusterSpec | None) -> None:
        """What etcd is made of, once a start: when the nodes are known, with which its members are compared."""
        if self._logged or cluster is None:
            return
        self._logged = True
        facts = self.latest.facts
        members = {member.id: member.name for member in members_of(facts)}
        leader = next((fact.leader_id for fact in facts if fact.leader_id), 0)
        self._note(
            "etcd_checked",
            {
                "members": ", ".join(members.values()),
                "leader": members.get(leader, ""),
                "versions": ", ".join(sorted({fact.version for fact in facts if fact.version})),
                "problem": ", ".join(problem.code for problem in self.latest.problems),
            },
        )

    def _tell(self) -> None:
        """Problems that are seen twice in a row, and those that are over."""
        now = {problem.code: problem for problem in self.latest.problems if problem.level != "notice"}
        for code in self._reported - now.keys():
            self._note("etcd_recovered", {"problem": code})
        for code in (now.keys() & self._seen) - self._reported:
            event = "etcd_unusable" if now[code].level == "error" else "etcd_weakened"
            self._note(event, {"problem": code, "detail": now[code].text})
        self._reported = now.keys() & (self._seen | self._reported)
        self._seen = set(now)
