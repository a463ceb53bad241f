"""Every metric of the daemon. docs/metrics.md is made from it (`python -m tools.docs.metrics`). Names by Prometheus'
conventions (*Metric and label naming*)."""

from __future__ import annotations

from hactl.model.serving_metrics import Metric

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
        "When the first certificate of a kind ends, in Unix time; `kind`: client, ca (with which etcd is reached), "
        "server (of each member, as it shows it), peer (of the member here: `etcd_member_certs`).",
    ),
    Metric("hactl_etcd_db_bytes", "gauge", ("endpoint",), "Size of etcd's database at the endpoint."),
    Metric("hactl_etcd_endpoint_up", "gauge", ("endpoint",), "1: the endpoint of etcd answers this node, 0: not."),
    Metric(
        "hactl_etcd_fsync_seconds",
        "gauge",
        ("endpoint",),
        "Time that 99 of 100 writes of etcd's log to its disk did not exceed within the last minute, as the member at "
        "the endpoint measured.",
    ),
    Metric("hactl_etcd_members", "gauge", (), "Members of etcd, learners included, 0: not known."),
    Metric(
        "hactl_etcd_problem",
        "gauge",
        ("problem",),
        "1: this node sees that with etcd; `hactl status` says it in words, with what to type.",
    ),
    Metric(
        "hactl_etcd_quota_bytes",
        "gauge",
        ("endpoint",),
        "How large etcd's database at the endpoint may become, where the member says it.",
    ),
    Metric(
        "hactl_etcd_read_seconds",
        "gauge",
        ("endpoint",),
        "How long the endpoint took for a read that needs a majority of etcd; NaN: it did not answer.",
    ),
    Metric(
        "hactl_etcd_snapshot_timestamp_seconds",
        "gauge",
        (),
        "When this node began its newest snapshot of etcd, in Unix time, 0: it has none.",
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
    Metric("hactl_fence_pending", "gauge", (), "Dead sessions that something waits to be known to be stopped."),
    Metric(
        "hactl_group_enabled",
        "gauge",
        ("group",),
        "1: the group is to run; 0: it is disabled in the configuration, or an operator has stopped it.",
    ),
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
    Metric(
        "hactl_hook_events_total",
        "counter",
        ("hook", "outcome"),
        "The hook's events on this node: `sent`, `failed` (given up after its tries), `dropped` (its queue was full).",
    ),
    Metric(
        "hactl_hook_ok", "gauge", ("hook",), "1: the hook's last delivery from this node succeeded, or none was tried."
    ),
    Metric("hactl_hook_waiting", "gauge", ("hook",), "Events in the hook's queue on this node, at most 100."),
    Metric(
        "hactl_instance_state",
        "gauge",
        ("group", "state"),
        "1 for the state of this node's instance of a group that runs on every node, 0 for the others.",
    ),
    Metric(
        "hactl_instance_wanted",
        "gauge",
        ("group",),
        "1: this node is to have an instance of the group; 0: not, by the configuration or an operator's request.",
    ),
    Metric(
        "hactl_instances",
        "gauge",
        ("group", "which"),
        "How many instances of the group are `wanted` in the cluster, and how many are `running`, as this node sees.",
    ),
    Metric("hactl_internal_errors_total", "counter", (), "How often the daemon itself went wrong; see its log."),
    Metric("hactl_lease_remaining_seconds", "gauge", (), "Until this node's lease ends, 0: it has none."),
    Metric("hactl_log_lines_lost_total", "counter", (), "Lines of the daemon's log that could not be written."),
    Metric(
        "hactl_maintenance",
        "gauge",
        ("group",),
        "1: operators want the group left alone: alerts are silent; 0: not. Of an empty group: everything.",
    ),
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
    Metric(
        "hactl_node_maintenance",
        "gauge",
        ("node",),
        "1: operators want the node left alone, by itself or with everything; 0: not.",
    ),
    Metric("hactl_node_health", "gauge", ("check",), "1: this node passes the health check, 0: it fails it."),
    Metric(
        "hactl_node_health_value",
        "gauge",
        ("check",),
        "What the check measured last on this node: percent free, pressure in percent, load, ms, answers, exit status.",
    ),
    Metric("hactl_nodes", "gauge", ("state",), "Nodes of the cluster, by state."),
    Metric("hactl_probe_failures_total", "counter", ("service",), "Probes by this node that failed."),
    Metric(
        "hactl_probe_seconds", "histogram", ("service",), "How long probes by this node took that completed.", _PROBE
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
    Metric("hactl_server_sessions", "gauge", ("service", "server"), "Connections, or requests, that it has from here."),
    Metric("hactl_server_up", "gauge", ("service", "server"), "1: this node's HAProxy gives it new connections."),
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

INSTANCE = ("unknown", "running", "starting", "stopping", "stopped", "failed", "blocked", "barred")
INSTANCES = ("running", "wanted")
HOOKED = ("sent", "failed", "dropped")
OUTCOMES = ("ok", "conflict", "refused", "unknown")
HEALTH = ("unknown", "running", "stopped", "failed")
STEPS = ("none", "runtime", "reload", "start", "stop")
SERVERS = ("up", "down", "drained", "disabled")
