"""The metrics of `metric_table.py`, counted and read for Prometheus."""

from __future__ import annotations

import contextlib
from collections import Counter as Counts
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

from election.clock import Instant
from election.etcd.tls import CertificateEnd
from election.records import CheckReport
from hactl import __version__
from hactl.daemon.metric_table import HEALTH, HOOKED, INSTANCE, INSTANCES, OUTCOMES, SERVERS, STEPS, TABLE
from hactl.daemon.observe.loop_times import CAUSES, LoopTimes
from hactl.daemon.parts.ledger import PHASE_NAMES, REASONS, Timeline
from hactl.decide import outside
from hactl.decide.planned import ALL, in_maintenance, maintenance_of, off
from hactl.decide.reading import ReadState
from hactl.haproxy.control.runtime import ServerState
from hactl.model.cluster import GroupSpec
from hactl.model.events import READINESS
from hactl.model.notes import RELOADS
from hactl.model.purposes import Purpose
from hactl.model.serving_metrics import Metric
from hactl.status.clones import clone_status
from hactl.status.document import NODE_STATES, node_names, node_state
from hactl.status.etcd.judge import EtcdState
from hactl.status.etcd.problems import PROBLEMS, members_of
from hactl.status.fences import matters
from hactl.status.health import NodeHealth, ServerHealth, plain_status
from hactl.status.services import word

_OF_GROUPS = (
    "hactl_group_enabled", "hactl_group_info", "hactl_group_owned", "hactl_group_readiness", "hactl_instance_state",
    "hactl_instance_wanted", "hactl_instances", "hactl_maintenance", "hactl_resource_state",
)  # fmt: skip
_OF_ENDPOINTS = (
    "hactl_etcd_db_bytes", "hactl_etcd_endpoint_up", "hactl_etcd_fsync_seconds", "hactl_etcd_quota_bytes",
    "hactl_etcd_read_seconds",
)  # fmt: skip


class Metrics:
    """The daemon's metrics, in a registry of their own."""

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._all: dict[str, Any] = {metric.name: _make(metric, self.registry) for metric in TABLE}
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
        """HAProxy runs with the wanted configuration; the step that was enough."""
        self._all["hactl_haproxy_applied_total"].labels(step).inc()

    def observe_output_cut(self, process: str, size: int) -> None:
        """So much of a process's output is gone."""
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
        for target in targets:
            labels = target["device"], target["plug"], target["node"]
            self._all["hactl_fence_device_ok"].labels(*labels).set(int(target["ok"]))
        self._all["hactl_fence_test_timestamp_seconds"].set(wall_s)

    def observe_probe(self, service: str, seconds: float, completed: bool) -> None:
        """A service was probed."""
        self._all["hactl_probe_failures_total"].labels(service).inc(int(not completed))
        if completed:
            self._all["hactl_probe_seconds"].labels(service).observe(seconds)

    def collect_troubles(self, state: ReadState, failures: Mapping[str, int], lost_lines: int) -> None:
        """The troubles of this node; how often each task has failed, how many lines the log has lost."""
        self._all["hactl_trouble"].clear()
        for source in state.troubles:
            self._all["hactl_trouble"].labels(source).set(1)
        for task, failed in failures.items():
            self._count_to("hactl_task_failures_total", failed, task)
        self._count_to("hactl_log_lines_lost_total", lost_lines)

    def collect_checks(self, checks: Mapping[str, CheckReport]) -> None:
        """The health checks of this node; before every scrape."""
        self._all["hactl_node_health"].clear()
        self._all["hactl_node_health_value"].clear()
        for name, check in checks.items():
            self._all["hactl_node_health"].labels(name).set(int(check["ok"]))
            if (value := check.get("value")) is not None:
                self._all["hactl_node_health_value"].labels(name).set(value)

    def collect_hooks(self, hooks: Sequence[Mapping[str, Any]]) -> None:
        """The deliveries of hooks until now; before every scrape."""
        for name in ("hactl_hook_ok", "hactl_hook_waiting"):
            self._all[name].clear()
        for hook in hooks:
            name = hook["name"]
            self._all["hactl_hook_ok"].labels(name).set(int(not hook["problem"]))
            self._all["hactl_hook_waiting"].labels(name).set(hook["waiting"])
            for outcome in HOOKED:
                self._count_to("hactl_hook_events_total", hook[outcome], name, outcome)

    def _count_to(self, name: str, total: int, *labels: str) -> None:
        before, self._counted[name, *labels] = self._counted.get((name, *labels), 0), total
        metric = self._all[name]
        (metric.labels(*labels) if labels else metric).inc(total - before)

    def collect_certificates(self, ends: Sequence[CertificateEnd]) -> None:
        """The ends of the certificates of etcd, of each kind the first; before every scrape."""
        self._all["hactl_etcd_certificate_end_timestamp_seconds"].clear()
        for certificate in sorted(ends, key=lambda certificate: certificate.end, reverse=True):
            metric = self._all["hactl_etcd_certificate_end_timestamp_seconds"].labels(certificate.kind)
            metric.set(certificate.end.timestamp())

    def collect_etcd(self, etcd: EtcdState) -> None:
        """The last answers of etcd's endpoints; before every scrape."""
        for name in _OF_ENDPOINTS:
            self._all[name].clear()
        self._all["hactl_etcd_members"].set(len(members_of(etcd.facts)))
        snapshot = etcd.beside.snapshot
        self._all["hactl_etcd_snapshot_timestamp_seconds"].set(snapshot.newest_wall_s if snapshot else 0)
        for fact in etcd.facts:
            self._all["hactl_etcd_endpoint_up"].labels(fact.endpoint).set(int(not fact.problem))
            read_s = float("nan") if fact.read_ms is None else fact.read_ms / 1000
            self._all["hactl_etcd_read_seconds"].labels(fact.endpoint).set(read_s)
            if not fact.problem:
                self._all["hactl_etcd_db_bytes"].labels(fact.endpoint).set(fact.db_bytes)
                if fact.quota_bytes:
                    self._all["hactl_etcd_quota_bytes"].labels(fact.endpoint).set(fact.quota_bytes)
        for endpoint, measured in etcd.beside.measured.items():
            if (fsync_s := measured.fsync_quantile(0.99)) is not None:
                self._all["hactl_etcd_fsync_seconds"].labels(endpoint).set(fsync_s)
        seen = {problem.code for problem in etcd.problems}
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
        """Take HAProxy's state and the outcomes of probes; before every scrape. `with_roles`: services whose
        check asks for a role, which one server has: the others are disabled."""
        self._all["hactl_haproxy_running"].set(int(health is not None and health.running))
        self._all["hactl_haproxy_old_workers"].set(old_workers)
        for name in ("hactl_probe_success", "hactl_server_sessions", "hactl_server_up", "hactl_service_servers"):
            self._all[name].clear()
        counts: dict[str, Counts[str]] = {}
        for server in servers:
            seen = ServerHealth(plain_status(server.status), server.weight, check=server.check)
            word_of = "disabled" if server.proxy in with_roles and seen.other_role else word(seen)
            counts.setdefault(server.proxy, Counts())[word_of] += 1
            self._all["hactl_server_up"].labels(server.proxy, server.server).set(int(word_of == "up"))
            self._all["hactl_server_sessions"].labels(server.proxy, server.server).set(server.sessions)
        for service, count in counts.items():
            for state in SERVERS:
                self._all["hactl_service_servers"].labels(service, state).set(count[state])
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
        self, state: ReadState, now: Instant, dropped: int = 0, watchdog: Mapping[str, Any] | None = None
    ) -> None:
        """Take the present state; before every scrape. `dropped`: events that the history did not get;
        `watchdog`: its status from the guard."""
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
        known = watchdog or {}
        self._all["hactl_watchdog_armed"].set(int(known.get("armed", False)))
        self._all["hactl_watchdog_timeout_seconds"].set(known.get("timeout_s") or 0)
        self._all["hactl_watchdog_last_fed_seconds"].set(known.get("last_fed_s") or 0.0)
        counts = Counts(node_state(state.view, name, state.cluster) for name in node_names(state.view, state.cluster))
        for name in NODE_STATES:
            self._all["hactl_nodes"].labels(name).set(counts[name])
        for name in _OF_GROUPS:
            self._all[name].clear()
        self._all["hactl_resource_warnings"].clear()
        for warning in outside.warnings(state):
            self._all["hactl_resource_warnings"].labels(warning.group, warning.resource, warning.topic).set(1)
        self._all["hactl_maintenance"].labels("").set(int(ALL in state.view.maintenance))
        for node in state.cluster.nodes if state.cluster else ():
            maintained = in_maintenance(state.view, node.name)
            self._all["hactl_node_maintenance"].labels(node.name).set(int(maintained))
        for group in state.cluster.groups if state.cluster else ():
            self._collect_any(state, group)
            (self._collect_group if group.run == "one" else self._collect_clone)(state, group)

    def _collect_any(self, state: ReadState, group: GroupSpec) -> None:
        """What there is of each group, wherever it runs."""
        self._all["hactl_group_enabled"].labels(group.name).set(int(not off(state.view, group)))
        maintained = maintenance_of(state.view, group.name) is not None
        self._all["hactl_maintenance"].labels(group.name).set(int(maintained))
        run = state.here(group.name)
        for resource in group.resources:
            health = run.health.get(resource.name, "unknown") if run else "unknown"
            for state_ in HEALTH:
                self._all["hactl_resource_state"].labels(group.name, resource.name, state_).set(int(state_ == health))

    def _collect_clone(self, state: ReadState, clone: GroupSpec) -> None:
        """A group that runs on every node."""
        status, run = clone_status(state.view, state.plan(), clone), state.here(clone.name)
        here = next((instance for instance in status["nodes"] if instance["node"] == state.node), None)
        phase = run.phase if run else "stopped"
        for known in INSTANCE:
            self._all["hactl_instance_state"].labels(clone.name, known).set(int(known == phase))
        self._all["hactl_instance_wanted"].labels(clone.name).set(int(here is not None and here["wanted"]))
        for key in INSTANCES:
            self._all["hactl_instances"].labels(clone.name, key).set(status[key])

    def _collect_group(self, state: ReadState, group: GroupSpec) -> None:
        for reason in REASONS:
            self._all["hactl_failovers_total"].labels(group.name, reason)
        for phase in PHASE_NAMES:
            self._all["hactl_failover_phase_seconds"].labels(group.name, phase)
        ownership = state.view.groups.get(group.name)
        owner = ownership.record.node if ownership and ownership.record.state != "released" else ""
        self._all["hactl_group_info"].labels(group.name, owner, _ownership(state, group.name)).set(1)
        mine = ownership is not None and ownership.record.state == "owned" and ownership.record.holder == state.me
        self._all["hactl_group_owned"].labels(group.name).set(int(mine))
        own = state.readiness.get(group.name)
        known = own.reported.level if own else "ready"
        for level in READINESS:
            self._all["hactl_group_readiness"].labels(group.name, level).set(int(level == known))

    def text(self) -> bytes:
        """The page, in Prometheus' text format."""
        return prometheus_client.generate_latest(self.registry)


def _ownership(state: ReadState, group: str) -> str:
    if state.view.keys.group(group) in state.view.unreadable:
        return "unreadable"
    ownership = state.view.groups.get(group)
    return ownership.record.state if ownership else "unowned"


def _make(metric: Metric, registry: CollectorRegistry) -> Any:
    match metric.kind:
        case "gauge":
            return Gauge(metric.name, metric.help, metric.labels, registry=registry)
        case "counter":
            return Counter(metric.name, metric.help, metric.labels, registry=registry)
        case "histogram":
            return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)
