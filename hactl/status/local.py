"""The knowledge of a daemon beside the store, for the status document. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from election.clock import Instant, observer_elapsed
from election.observer import limit_ms
from election.reading import ReadObserver
from election.records import CheckReport, FenceRecord, TroubleReport
from hactl.decide.reading import ReadState


@dataclass(frozen=True, slots=True)
class Local:
    """Facts that only a daemon knows. `list_problem`: why it cannot list what is in etcd. `silent_ms`: for how long it
    saw nothing new of each peer. `fence_left_ms`: how long until the lease of each dead session is over for it, 0: it
    is. `waiting`, `blocked`: of groups here, why. `haproxy`: as HaproxyStatus. `watchdog`: what the guard says of it,
    None: this node is to have none. `unasked`: why peers' guards are not asked though nodes can be fenced. `access`:
    how etcd is reached: `weak` (`problem`, `hint`), `certificates` (`kind`, `path`, `end`), `soonest_days` (until the
    first of them ends; None: there are none). `troubles`, `checks`: as of a node, as this daemon knows them now.
    `errors`: how often the daemon itself went wrong."""

    phase: str
    lease_left_ms: float
    guard_ready: bool
    store_away: bool = False
    list_problem: str = ""
    config_problem: str = ""
    refused: str = ""
    silent_ms: Mapping[str, int] = field(default_factory=dict)
    fence_left_ms: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, str] = field(default_factory=dict)
    blocked: Mapping[str, str] = field(default_factory=dict)
    events_dropped: int = 0
    started: str = ""
    haproxy: Mapping[str, Any] | None = None
    watchdog: Mapping[str, Any] | None = None
    unasked: str = ""
    access: Mapping[str, Any] | None = None
    troubles: Mapping[str, TroubleReport] = field(default_factory=dict)
    checks: Mapping[str, CheckReport] = field(default_factory=dict)
    errors: int = 0
    last_error: str = ""
    loop: Mapping[str, float] | None = None


def local_facts(
    state: ReadState,
    now: Instant,
    *,
    haproxy: Mapping[str, Any] | None = None,
    events_dropped: int = 0,
    started: str = "",
    watchdog: Mapping[str, Any] | None = None,
    asking_problem: str = "",
    access: Mapping[str, Any] | None = None,
    loop: Mapping[str, float] | None = None,
    checks: Mapping[str, CheckReport] | None = None,
) -> Local:
    """The facts that this daemon knows beside the store. `asking_problem`: why it does not ask guards. `access`: how it
    reaches etcd. `loop`: how long the loop that decides was kept from its work lately. `checks`: this node's
    health checks, with their last values."""
    fenced = state.cluster is not None and any(node.has_device for node in state.cluster.fencing.nodes.values())
    fences = {name: fence.record for name, fence in state.view.fences.items() if fence.record.state != "safe"}
    return Local(
        phase=state.phase,
        lease_left_ms=round(max(0.0, state.session.time_left(now))),
        guard_ready=state.guard_ready,
        store_away=state.store_away,
        list_problem=state.list_problem if state.lists_failed > 1 else "",
        config_problem=state.config_problem,
        refused=state.refused,
        silent_ms={
            name: round(state.observer.silent_ms(name, now)) for name in state.view.sessions if name != state.node
        },
        fence_left_ms={
            name: round(lease_left_ms(state.observer, name, record, now)) for name, record in fences.items()
        },
        waiting={run.spec.name: run.waiting for run in state.all_here() if run.waiting},
        blocked={run.spec.name: run.stop_failed for run in state.all_here() if run.stop_failed},
        events_dropped=events_dropped,
        started=started,
        haproxy=haproxy,
        watchdog=watchdog,
        unasked=asking_problem if fenced else "",
        access=access,
        troubles={source: trouble.copy() for source, trouble in state.troubles.items()},
        checks={name: check.copy() for name, check in (checks or {}).items()},
        errors=state.errors,
        last_error=state.last_error,
        loop=loop,
    )


def lease_left_ms(observer: ReadObserver, node: str, record: FenceRecord, now: Instant) -> float:
    """How long until the lease of the dead session in `fence/<node>` is over for certain, as counted here."""
    limit, seen = limit_ms(record.lease_ms), observer.dead_sighting(node, record)
    return max(0.0, limit - observer_elapsed(seen.since, now)) if seen else limit
