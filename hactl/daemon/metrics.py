"""What Prometheus is told. Every metric is in TABLE, from which docs/metrics.md is made
(`python -m tools.docs.metrics`). Names by Prometheus' conventions (*Metric and label naming*)."""

from __future__ import annotations

import contextlib
from collections import Counter as Counts
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

from election.clock import Instant
from election.etcd.tls import CertificateEnd
from hactl import __version__
from hactl.daemon.observe.loop_times import CAUSES, LoopTimes
from hactl.daemon.parts.ledger import PHASE_NAMES, REASONS, Timeline
from hactl.decide import outside
from hactl.decide.state import NodeState
from hactl.haproxy.control.runtime import ServerState
from hactl.model.cluster import GroupSpec
from hactl.model.events import READINESS
from hactl.model.notes import RELOADS
from hactl.model.purposes import Purpose
from hactl.model.serving_metrics import Metric
from hactl.status.document import NODE_STATES, node_names, node_state
from hactl.status.etcd import PROBLEMS, EtcdState
from hactl.status.fences import matters
from hactl.status.health import NodeHealth, ServerHealth, plain_status
from hactl.status.services import word

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_PROBE = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0)
_SLOW = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

TABLE = (
    Metric("hactl_build_info", "gauge", ("version",), "Always 1; the version of the daemon."),
    Metric("hactl_config_revision", "gauge", (), "Revision in etcd of the configuration in use, 0: none yet."),
    Metric(
        "hactl_etcd_certificate_end_timestamp_seconds",
        "gauge",
        ("kind",),
        "When the certificate with which etcd is reached ends, in Unix time; `kind`: client, ca.",
    ),
    Metric("hactl_etcd_db_bytes", "gauge", ("endpoint",), "Size of etcd's database at the endpoint."),
    Metric("hactl_etcd_endpoint_up", "gauge", ("endpoint",), "1: the endpoint of etcd answers this node, 0: not."),
    Metric(
        "hactl_etcd_problem",
        "gauge",
        ("problem",),
        "1: this node sees that with etcd; `hactl status` says it in words, with what to type.",
    ),
    Metric(
        "hactl_etcd_read_seconds",
        "gauge",
        ("endpoint",),
        "How long the endpoint took for a read that needs a majority of etcd; NaN: it did not answer.",
    ),
    Metric("hactl_events_dropped_total", "counter", (), "Events that the history in etcd did not get."),
    Metric(
        "hactl_failover_phase_seconds",
        "histogram",
        ("group", "phase"),
        "How long each part of a takeover by this node took; `total` is all of it.",
        _SLOW,
    ),
    Metric("hactl_failovers_total", "counter", ("group", "reason"), "Takeovers by this node that ended in running."),
    Metric(
        "hactl_fence_device_ok",
        "gauge",
        ("device", "plug", "target"),
        "1: at its last test by this node the fence device answered for the node `target`.",
    ),
    Metric(
        "hactl_fence_pending",
        "gauge",
        (),
        "Dead sessions that something waits to be known to be stopped.",
    ),
    Metric("hactl_group_enabled", "gauge", ("group",), "1: the configuration in use wants the group to run, 0: not."),
    Metric(
        "hactl_fence_test_timestamp_seconds", "gauge", (), "When this node last tested the fence devices, 0: never."
    ),
    Metric("hactl_group_info", "gauge", ("group", "owner", "state"), "Always 1; who has the group, as this node sees."),
    Metric("hactl_group_owned", "gauge", ("group",), "1: this node owns the group."),
    Metric(
        "hactl_group_readiness",
        "gauge",
        ("group", "level"),
        "1 for how ready this node is for the group: `ready`, `poor` (others come first), `unfit` (not chosen).",
    ),
    Metric("hactl_guard_ready", "gauge", (), "1: the guard holds this session's deadline."),
    Metric(
        "hactl_haproxy_applied_total",
        "counter",
        ("step",),
        "Changes of what HAProxy runs with, by the step that was enough; `none`: it ran with that already.",
    ),
    Metric(
        "hactl_haproxy_old_workers",
        "gauge",
        (),
        "Workers that a reload has replaced and that live on for their connections; at most 8.",
    ),
    Metric("hactl_haproxy_running", "gauge", (), "1: HAProxy runs on this node."),
    Metric("hactl_haproxy_reloads_total", "counter", ("outcome",), "Changes of HAProxy's configuration, by outcome."),
    Metric("hactl_internal_errors_total", "counter", (), "How often the daemon itself went wrong; see its log."),
    Metric("hactl_lease_remaining_seconds", "gauge", (), "Until this node's lease ends, 0: it has none."),
    Metric("hactl_log_lines_lost_total", "counter", (), "Lines of the daemon's log that could not be written."),
    Metric(
        "hactl_loop_blocked_total",
        "counter",
        ("cause",),
        "How often the loop that decides was kept from what came for more than 50 ms; `work`: by one thing that it did "
        "itself; `wait`: it was not let run, or waited for a disk.",
    ),
    Metric(
        "hactl_loop_longest_seconds",
        "gauge",
        ("cause",),
        "The longest that the loop that decides was kept from what came, within the last minute.",
    ),
    Metric("hactl_nodes", "gauge", ("state",), "Nodes of the cluster, by state."),
    Metric(
        "hactl_probe_failures_total",
        "counter",
        ("service",),
        "Probes by this node that failed.",
    ),
    Metric(
        "hactl_probe_seconds",
        "histogram",
        ("service",),
        "How long probes by this node took that completed.",
        _PROBE,
    ),
    Metric("hactl_probe_success", "gauge", ("service",), "1: the service answers this node through its VIP, 0: not."),
    Metric(
        "hactl_process_output_cut_bytes_total",
        "counter",
        ("process",),
        "What supervised processes wrote, to files, that is gone because it was too much.",
    ),
    Metric("hactl_renew_seconds", "histogram", (), "Round trip of a renewal of the lease that was answered.", _FAST),
    Metric(
        "hactl_resource_state",
        "gauge",
        ("group", "resource", "state"),
        "1 for the state that the resource is in on this node, 0 for the others.",
    ),
    Metric(
        "hactl_resource_warnings",
        "gauge",
        ("group", "resource", "topic"),
        "1: on this node something is wrong with the resource though it may run: `conflict` (another station has the "
        "address), `put_right` (it is meddled with again and again), `stray` (something else starts it), `stuck`, "
        "`twin` (a process that hactl did not start runs its command where the group is not).",
    ),
    Metric(
        "hactl_server_sessions",
        "gauge",
        ("service", "server"),
        "Connections, or requests, that it has from here.",
    ),
    Metric(
        "hactl_server_up",
        "gauge",
        ("service", "server"),
        "1: this node's HAProxy gives it new connections.",
    ),
    Metric(
        "hactl_service_servers", "gauge", ("service", "state"), "The service's servers, as this node's HAProxy sees."
    ),
    Metric(
        "hactl_store_requests_total",
        "counter",
        ("purpose", "outcome"),
        "Transactions sent to etcd. `conflict`: something had changed; `unknown`: no answer in time.",
    ),
    Metric("hactl_store_seconds", "histogram", ("purpose",), "How long answered transactions took.", _FAST),
    Metric("hactl_task_failures_total", "counter", ("task",), "How often a task of the daemon failed."),
    Metric("hactl_trouble", "gauge", ("source",), "1: this does not work on this node, as `hactl status` says."),
    Metric("hactl_unreadable_documents", "gauge", (), "Documents in etcd that cannot be read here."),
    Metric("hactl_watchdog_armed", "gauge", (), "1: this node's watchdog resets it before its lease ends."),
    Metric("hactl_watchdog_last_fed_seconds", "gauge", (), "How long ago the watchdog was fed, 0: there is none."),
    Metric("hactl_watchdog_timeout_seconds", "gauge", (), "What the watchdog is set to, 0: there is none."),
)

OUTCOMES = ("ok", "conflict", "refused", "unknown")
HEALTH = ("unknown", "running", "stopped", "failed")
STEPS = ("none", "runtime", "reload", "start", "stop")
SERVERS = ("up", "down", "drained", "disabled")
_OF_GROUPS = (
    "hactl_group_enabled", "hactl_group_info", "hactl_group_owned", "hactl_group_readiness", "hactl_resource_state",
)  # fmt: skip


class Metrics:
    """The daemon's metrics, in a registry of their own."""

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._all: dict[str, Any] = {one.name: _make(one, self.registry) for one in TABLE}
        self._dropped = self._errors = 0
        self._counted: dict[tuple[str, ...], int] = {}
        self._blocked: dict[str, int] = dict.fromkeys(CAUSES, 0)
        self._all["hactl_build_info"].labels(__version__).set(1)
        for purpose in Purpose:
            self._all["hactl_store_seconds"].labels(purpose)
            for outcome in OUTCOMES:
                self._all["hactl_store_requests_total"].labels(purpose, outcome)
        for outcome in RELOADS.values():
            self._all["hactl_haproxy_reloads_total"].labels(outcome)
        for step in STEPS:
            self._all["hactl_haproxy_applied_total"].labels(step)
        for cause in CAUSES:
            self._all["hactl_loop_blocked_total"].labels(cause)
        for state in NODE_STATES:
            self._all["hactl_nodes"].labels(state)

    def note(self, event: str, data: dict[str, Any]) -> None:
        """Take a note."""
        if event in RELOADS:
            self._all["hactl_haproxy_reloads_total"].labels(RELOADS[event]).inc()

    def observe_applied(self, step: str) -> None:
        """HAProxy runs with what was wanted; the step that was enough."""
        self._all["hactl_haproxy_applied_total"].labels(step).inc()

    def observe_output_cut(self, process: str, size: int) -> None:
        """So much of what a process wrote is gone."""
        self._all["hactl_process_output_cut_bytes_total"].labels(process).inc(size)

    def observe_txn(self, purpose: Purpose, seconds: float, outcome: str) -> None:
        """A transaction has ended: `ok`, `conflict`, `refused` or `unknown`."""
        self._all["hactl_store_requests_total"].labels(purpose, outcome).inc()
        if outcome in ("ok", "conflict"):
            self._all["hactl_store_seconds"].labels(purpose).observe(seconds)
        if purpose is Purpose.RENEW and outcome in ("ok", "conflict"):
            self._all["hactl_renew_seconds"].observe(seconds)

    def observe_timeline(self, done: Timeline) -> None:
        """A takeover has ended."""
        self._all["hactl_failovers_total"].labels(done.group, done.reason).inc()
        for phase, milliseconds in done.phases().items():
            self._all["hactl_failover_phase_seconds"].labels(done.group, phase).observe(milliseconds / 1000)

    def observe_devices(self, targets: Sequence[Mapping[str, Any]], wall_s: float) -> None:
        """The fence devices have been tested, at `wall_s` by the wall clock."""
        self._all["hactl_fence_device_ok"].clear()
        for one in targets:
            self._all["hactl_fence_device_ok"].labels(one["device"], one["plug"], one["node"]).set(int(one["ok"]))
        self._all["hactl_fence_test_timestamp_seconds"].set(wall_s)

    def observe_probe(self, service: str, seconds: float, completed: bool) -> None:
        """A service was probed."""
        self._all["hactl_probe_failures_total"].labels(service).inc(int(not completed))
        if completed:
            self._all["hactl_probe_seconds"].labels(service).observe(seconds)

    def collect_troubles(self, state: NodeState, failures: Mapping[str, int], lost_lines: int) -> None:
        """What does not work on this node; how often each task has failed, how many lines the log has lost."""
        self._all["hactl_trouble"].clear()
        for source in state.troubles:
            self._all["hactl_trouble"].labels(source).set(1)
        for task, failed in failures.items():
            self._count_to("hactl_task_failures_total", failed, task)
        self._count_to("hactl_log_lines_lost_total", lost_lines)

    def _count_to(self, name: str, total: int, *labels: str) -> None:
        before, self._counted[name, *labels] = self._counted.get((name, *labels), 0), total
        metric = self._all[name]
        (metric.labels(*labels) if labels else metric).inc(total - before)

    def collect_certificates(self, ends: Sequence[CertificateEnd]) -> None:
        """Until when the certificates hold with which etcd is reached; before every scrape."""
        self._all["hactl_etcd_certificate_end_timestamp_seconds"].clear()
        for one in ends:
            self._all["hactl_etcd_certificate_end_timestamp_seconds"].labels(one.kind).set(one.end.timestamp())

    def collect_etcd(self, found: EtcdState) -> None:
        """What the endpoints of etcd said last; before every scrape."""
        for name in ("hactl_etcd_db_bytes", "hactl_etcd_endpoint_up", "hactl_etcd_read_seconds"):
            self._all[name].clear()
        for one in found.facts:
            self._all["hactl_etcd_endpoint_up"].labels(one.endpoint).set(int(not one.problem))
            read_s = float("nan") if one.read_ms is None else one.read_ms / 1000
            self._all["hactl_etcd_read_seconds"].labels(one.endpoint).set(read_s)
            if not one.problem:
                self._all["hactl_etcd_db_bytes"].labels(one.endpoint).set(one.db_bytes)
        seen = {one.code for one in found.problems}
        for code in PROBLEMS:
            self._all["hactl_etcd_problem"].labels(code).set(int(code in seen))

    def forget_probe(self, service: str) -> None:
        """It is in no configuration any more, or has no probe."""
        for name in ("hactl_probe_failures_total", "hactl_probe_seconds"):
            with contextlib.suppress(KeyError):
                self._all[name].remove(service)

    def collect_services(
        self,
        servers: Sequence[ServerState],
        health: NodeHealth | None,
        with_roles: Collection[str] = (),
        old_workers: int = 0,
    ) -> None:
        """Look at what HAProxy says now, and at what probes came to; before every scrape. `with_roles`: services whose
        check asks for a role, which one server has: the others are disabled."""
        self._all["hactl_haproxy_running"].set(int(health is not None and health.running))
        self._all["hactl_haproxy_old_workers"].set(old_workers)
        for name in ("hactl_probe_success", "hactl_server_sessions", "hactl_server_up", "hactl_service_servers"):
            self._all[name].clear()
        counts: dict[str, Counts[str]] = {}
        for one in servers:
            seen = ServerHealth(plain_status(one.status), one.weight, check=one.check)
            said = "disabled" if one.proxy in with_roles and seen.other_role else word(seen)
            counts.setdefault(one.proxy, Counts())[said] += 1
            self._all["hactl_server_up"].labels(one.proxy, one.server).set(int(said == "up"))
            self._all["hactl_server_sessions"].labels(one.proxy, one.server).set(one.sessions)
        for service, found in counts.items():
            for state in SERVERS:
                self._all["hactl_service_servers"].labels(service, state).set(found[state])
        for service, probe in health.probes.items() if health else ():
            self._all["hactl_probe_success"].labels(service).set(int(probe.outcome == "completed"))

    def collect_loop(self, times: LoopTimes | None) -> None:
        """Look how long the loop was kept."""
        for cause in CAUSES if times else ():
            assert times is not None
            self._all["hactl_loop_longest_seconds"].labels(cause).set(times.longest(cause))
            counter = self._all["hactl_loop_blocked_total"].labels(cause)
            counter.inc(times.over[cause] - self._blocked[cause])
            self._blocked[cause] = times.over[cause]

    def collect(
        self, state: NodeState, now: Instant, dropped: int = 0, watchdog: Mapping[str, Any] | None = None
    ) -> None:
        """Look at what is known now; before every scrape. `dropped`: events that the history did not get;
        `watchdog`: what the guard says of it."""
        self._all["hactl_config_revision"].set(state.config_rev)
        self._all["hactl_lease_remaining_seconds"].set(max(0.0, state.session.time_left(now)) / 1000)
        self._all["hactl_guard_ready"].set(int(state.guard_ready))
        pending = sum(matters(name, state.view, state.cluster) for name in state.view.fences)
        self._all["hactl_fence_pending"].set(pending)
        self._all["hactl_events_dropped_total"].inc(dropped - self._dropped)
        self._dropped = dropped
        self._all["hactl_internal_errors_total"].inc(state.errors - self._errors)
        self._errors = state.errors
        self._all["hactl_unreadable_documents"].set(len(state.view.unreadable))
        told = watchdog or {}
        self._all["hactl_watchdog_armed"].set(int(told.get("armed", False)))
        self._all["hactl_watchdog_timeout_seconds"].set(told.get("timeout_s") or 0)
        self._all["hactl_watchdog_last_fed_seconds"].set(told.get("last_fed_s") or 0.0)
        counts = Counts(node_state(state.view, name, state.cluster) for name in node_names(state.view, state.cluster))
        for name in NODE_STATES:
            self._all["hactl_nodes"].labels(name).set(counts[name])
        for name in _OF_GROUPS:
            self._all[name].clear()
        self._all["hactl_resource_warnings"].clear()
        for one in outside.warnings(state):
            self._all["hactl_resource_warnings"].labels(one.group, one.resource, one.topic).set(1)
        for group in state.cluster.groups if state.cluster else ():
            self._collect_group(state, group)

    def _collect_group(self, state: NodeState, group: GroupSpec) -> None:
        for reason in REASONS:
            self._all["hactl_failovers_total"].labels(group.name, reason)
        for phase in PHASE_NAMES:
            self._all["hactl_failover_phase_seconds"].labels(group.name, phase)
        self._all["hactl_group_enabled"].labels(group.name).set(int(group.enabled))
        found, run = state.view.groups.get(group.name), state.runs.get(group.name)
        owner = found.record.node if found and found.record.state != "released" else ""
        self._all["hactl_group_info"].labels(group.name, owner, _ownership(state, group.name)).set(1)
        mine = found is not None and found.record.state == "owned" and found.record.holder == state.me
        self._all["hactl_group_owned"].labels(group.name).set(int(mine))
        own = state.readiness.get(group.name)
        told = own.told.level if own else "ready"
        for level in READINESS:
            self._all["hactl_group_readiness"].labels(group.name, level).set(int(level == told))
        for resource in group.resources:
            health = run.health.get(resource.name, "unknown") if run else "unknown"
            for state_ in HEALTH:
                self._all["hactl_resource_state"].labels(group.name, resource.name, state_).set(int(state_ == health))

    def text(self) -> bytes:
        """The page, in Prometheus' text format."""
        return prometheus_client.generate_latest(self.registry)


def _ownership(state: NodeState, group: str) -> str:
    found = state.view.groups.get(group)
    if state.view.keys.group(group) in state.view.unreadable:
        return "unreadable"
    return found.record.state if found else "unowned"


def _make(one: Metric, registry: CollectorRegistry) -> Any:
    match one.kind:
        case "gauge":
            return Gauge(one.name, one.help, one.labels, registry=registry)
        case "counter":
            return Counter(one.name, one.help, one.labels, registry=registry)
        case "histogram":
            return Histogram(one.name, one.help, one.labels, registry=registry, buckets=one.buckets)
