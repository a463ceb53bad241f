"""What the dashboard shows. Every metric is in docs/metrics.md; every alert in deploy/prometheus/alerts.yaml."""

from __future__ import annotations

from tools.grafana.panel import Panel, Query, Row, increase, p99, per_second, series, stat, states

_UNOWNED = (
    "count(max by (group) (hactl_group_owned{@}) == 0 and on (group) min by (group) (hactl_group_enabled{@}) == 1)"
    " or vector(0)"
)
_MEAN_PHASE = (
    "sum by (group, phase) (increase(hactl_failover_phase_seconds_sum{@}[$__range])) / "
    "sum by (group, phase) (increase(hactl_failover_phase_seconds_count{@}[$__range]) > 0)"
)

CLUSTER = Row(
    "Cluster and groups",
    (
        stat(
            "Nodes by state",
            "Nodes of the cluster, by state, as the nodes see them. `hactl status` says why a node is not online.",
            Query("max by (state) (hactl_nodes{@})", "{{state}}"),
        ),
        stat(
            "Groups that no node runs",
            "Groups that the configuration wants to run and that no node owns. With more than 0, see `hactl status`.",
            Query(_UNOWNED, "groups"),
            good="none",
        ),
        stat(
            "Failovers in the chosen time",
            "Takeovers that nobody planned: a node was lost, or a resource failed. `hactl timeline GROUP` has each.",
            Query('sum(increase(hactl_failovers_total{@, reason!="planned"}[$__range]))', "failovers"),
            good="none",
        ),
        states(
            "Owner of each group",
            "Which node owned which group, and when. A gap: no node owned it. Two owners at once for longer than two "
            "scrapes: the nodes do not agree; compare `hactl status` on both.",
            Query('max by (group, owner) (hactl_group_info{@, owner!=""})', "{{group}} on {{owner}}"),
            "shown",
            width=24,
        ),
        series(
            "Takeovers",
            "Takeovers of groups, by reason, in each interval.",
            increase("hactl_failovers_total", "group, reason", "{{group}} {{reason}}"),
        ),
        Panel(
            "bargauge",
            "Phases of takeovers, mean",
            "How long each part of the takeovers in the chosen time took on average. `total` is all of it.",
            (Query(_MEAN_PHASE, "{{group}} {{phase}}"),),
            unit="s",
        ),
        states(
            "Nodes that are not ready for a group",
            "`poor`: the node takes the group only when no better node is there; `unfit`: it does not take it.",
            Query('hactl_group_readiness{@, level!="ready"} == 1', "{{group}} on {{instance}}: {{level}}"),
            "shown",
        ),
        states(
            "Failed resources",
            "Resources that have failed on a node. `hactl events` has the reason.",
            Query('hactl_resource_state{@, state="failed"} == 1', "{{group}}/{{resource}} on {{instance}}"),
            "shown",
            width=12,
        ),
        states(
            "Instances that do not run",
            "Groups that run on every node: where they are to run and do not. `hactl status` says why.",
            Query(
                "hactl_instance_wanted{@} == 1 unless on (instance, group) "
                'hactl_instance_state{@, state="running"} == 1',
                "{{group}} on {{instance}}",
            ),
            "shown",
            width=12,
        ),
        states(
            "Resources with a warning",
            "Another program interferes with a resource, or it is stuck. `hactl status` says what to type.",
            Query("hactl_resource_warnings{@} == 1", "{{group}}/{{resource}} on {{instance}}: {{topic}}"),
            "shown",
            width=12,
        ),
    ),
)

NODES = Row(
    "Nodes and leases",
    (
        series(
            "Lease left",
            "Time until each node's lease ends. It is renewed several times a second. At 0 the node takes no part.",
            Query("hactl_lease_remaining_seconds{@}", "{{instance}}"),
            unit="s",
        ),
        series(
            "Renewal of the lease, 99 %",
            "Round trip of a renewal. It has half a heartbeat (125 ms with the profile `default`).",
            p99("hactl_renew_seconds", "instance", "{{instance}}"),
            unit="s",
        ),
        states(
            "Guard holds the deadline",
            "While it does not, nothing exclusive starts on the node.",
            Query("hactl_guard_ready{@}", "{{instance}}"),
            "one",
        ),
        states(
            "Watchdog armed",
            "Whether the watchdog resets the node before its lease ends. Nodes without a watchdog are not shown.",
            Query("hactl_watchdog_armed{@} and on (instance) hactl_watchdog_timeout_seconds{@} > 0", "{{instance}}"),
            "one",
        ),
        series(
            "Watchdog last fed",
            "Time since the watchdog was fed, beside the time after which it resets the node.",
            Query("hactl_watchdog_last_fed_seconds{@}", "{{instance}}"),
            Query("hactl_watchdog_timeout_seconds{@} > 0", "{{instance}} timeout"),
            unit="s",
        ),
    ),
)

ETCD = Row(
    "etcd",
    (
        states(
            "Problems of etcd",
            "What each node sees wrong with etcd. `hactl status` there says it in words, with the command that helps.",
            Query("hactl_etcd_problem{@} == 1", "{{instance}}: {{problem}}"),
            "shown",
            width=12,
        ),
        states(
            "Endpoints that answer",
            "Whether each endpoint of etcd answers each node.",
            Query("hactl_etcd_endpoint_up{@}", "{{endpoint}} from {{instance}}"),
            "one",
            width=12,
        ),
        series(
            "Read by a majority",
            "How long an endpoint takes for a read that needs a majority of etcd.",
            Query("max by (endpoint) (hactl_etcd_read_seconds{@})", "{{endpoint}}"),
            unit="s",
        ),
        series(
            "Transactions, 99 %",
            "How long answered transactions of the nodes took, by purpose.",
            p99("hactl_store_seconds", "purpose", "{{purpose}}"),
            unit="s",
        ),
        series(
            "Transactions without an answer",
            "Transactions that etcd did not answer in time, or refused.",
            per_second(
                "hactl_store_requests_total",
                "instance, outcome",
                "{{instance}} {{outcome}}",
                where='outcome=~"unknown|refused"',
            ),
            unit="ops",
        ),
        series(
            "Writes to the disk, 99 %",
            "Time that 99 of 100 writes of etcd's log did not exceed. etcd's manual asks for less than 10 ms.",
            Query("max by (endpoint) (hactl_etcd_fsync_seconds{@})", "{{endpoint}}"),
            unit="s",
        ),
        series(
            "Size of the database",
            "At its quota etcd takes no writes any more.",
            Query("max by (endpoint) (hactl_etcd_db_bytes{@})", "{{endpoint}}"),
            Query("min(hactl_etcd_quota_bytes{@})", "quota"),
            unit="bytes",
        ),
        series(
            "Members",
            "Members of etcd, learners included, as each node sees them.",
            Query("hactl_etcd_members{@}", "{{instance}}"),
        ),
        stat(
            "Age of the newest snapshot",
            "Time since the last snapshot of etcd on any node.",
            Query("time() - max(hactl_etcd_snapshot_timestamp_seconds{@} > 0)", "snapshot"),
            unit="s",
        ),
        stat(
            "Certificates end in",
            "Time until the first certificate of its kind ends, of all nodes. The alert comes 14 days before.",
            Query("min by (kind) (hactl_etcd_certificate_end_timestamp_seconds{@}) - time()", "{{kind}}"),
            unit="s",
            low=14 * 86400,
        ),
    ),
)

HAPROXY = Row(
    "HAProxy: services and servers",
    (
        states(
            "HAProxy runs",
            "Whether HAProxy runs on the node. Where it belongs to a group, it runs on the group's owner only.",
            Query("hactl_haproxy_running{@}", "{{instance}}"),
            "one",
        ),
        series(
            "Servers of each service",
            "Servers that get new connections, from the node that gives them to the fewest.",
            Query('min by (service) (hactl_service_servers{@, state="up"})', "{{service}}"),
        ),
        states(
            "Servers without new connections",
            "Servers that get no new connections from a node: down, drained, or another one has the role.",
            Query("hactl_server_up{@} == 0", "{{service}}/{{server}} from {{instance}}"),
            "shown",
        ),
        series(
            "Sessions",
            "Connections, or requests, that each service has.",
            Query("sum by (service) (hactl_server_sessions{@})", "{{service}}"),
        ),
        states(
            "Services that answer",
            "Whether the service answers a node through its VIP.",
            Query("max by (service) (hactl_probe_success{@})", "{{service}}"),
            "one",
        ),
        series(
            "Probes through the VIP, 99 %",
            "How long probes took that completed.",
            p99("hactl_probe_seconds", "service", "{{service}}"),
            unit="s",
        ),
        series(
            "Failed probes",
            "Probes through the VIP that failed.",
            per_second("hactl_probe_failures_total", "service", "{{service}}"),
            unit="ops",
        ),
        series(
            "Changes of HAProxy",
            "Changes of what HAProxy runs with, by the step that was enough; and reloads that failed.",
            increase("hactl_haproxy_applied_total", "step", "{{step}}", where='step!="none"'),
            increase("hactl_haproxy_reloads_total", "outcome", "reload: {{outcome}}", where='outcome!="ok"'),
        ),
        series(
            "Old workers",
            "Workers that a reload has replaced and that live on for their connections; at most 8.",
            Query("hactl_haproxy_old_workers{@}", "{{instance}}"),
        ),
    ),
)

FENCING = Row(
    "Fencing",
    (
        stat(
            "Fencing pending",
            "Lost nodes that are not known to be stopped. `hactl status` says what to do.",
            Query("max(hactl_fence_pending{@})", "nodes"),
            good="none",
        ),
        states(
            "Fence devices",
            "Whether each device answered each node at its last test. `hactl fence test` tests them now.",
            Query("hactl_fence_device_ok{@}", "{{device}} {{plug}} ({{target}}) from {{instance}}"),
            "one",
        ),
        series(
            "Time since the last test",
            "How long ago each node tested the fence devices.",
            Query("time() - (hactl_fence_test_timestamp_seconds{@} > 0)", "{{instance}}"),
            unit="s",
        ),
    ),
)

DAEMONS = Row(
    "Daemons",
    (
        states(
            "Daemon answers",
            "Whether the daemon answers the process that serves its metrics.",
            Query("hactl_up{@}", "{{instance}}"),
            "one",
        ),
        states(
            "Troubles",
            "What does not work on a node. `hactl status` says it in words.",
            Query("hactl_trouble{@} == 1", "{{instance}}: {{source}}"),
            "shown",
        ),
        states(
            "Failed health checks",
            "The health checks that a node fails. `hactl node show NODE` has value and limit.",
            Query("hactl_node_health{@} == 0", "{{instance}}: {{check}}"),
            "shown",
        ),
        series(
            "Events for hooks",
            "What became of the events for hooks: sent, failed (given up), dropped (the queue was full).",
            increase("hactl_hook_events_total", "hook, outcome", "{{hook}} {{outcome}}"),
        ),
        stat(
            "Versions",
            "How many nodes run which version.",
            Query("count by (version) (hactl_build_info{@})", "{{version}}"),
        ),
        series(
            "Configuration in use",
            "Revision of the configuration that each node uses. If a node stays behind, `hactl status` names it.",
            Query("hactl_config_revision{@}", "{{instance}}"),
        ),
        series(
            "Longest wait of the loop",
            "The longest time within the last minute in which the loop that decides could not take events.",
            Query("hactl_loop_longest_seconds{@}", "{{instance}} {{cause}}"),
            unit="s",
        ),
        series(
            "Loop blocked for more than 50 ms",
            "How often in each interval. `work`: by its own work; `wait`: the system did not let it run.",
            increase("hactl_loop_blocked_total", "instance, cause", "{{instance}} {{cause}}"),
        ),
        series(
            "Errors",
            "Internal errors, failed tasks, lost log lines and lost events in each interval. Each should be 0.",
            increase("hactl_internal_errors_total", "instance", "{{instance}} errors"),
            increase("hactl_task_failures_total", "instance, task", "{{instance}} {{task}}"),
            increase("hactl_log_lines_lost_total", "instance", "{{instance}} log lines"),
            increase("hactl_events_dropped_total", "instance", "{{instance}} events"),
        ),
        stat(
            "Unreadable documents",
            "Documents in etcd that a node cannot read. `hactl status` names them.",
            Query("max(hactl_unreadable_documents{@})", "documents"),
            good="none",
        ),
        series(
            "Output of processes lost",
            "Output of supervised processes that is gone because it was too much, in each interval.",
            increase("hactl_process_output_cut_bytes_total", "instance, process", "{{instance}} {{process}}"),
            unit="bytes",
        ),
        series(
            "Processor",
            "Share of one processor that the daemon uses.",
            Query("rate(process_cpu_seconds_total{@}[$__rate_interval])", "{{instance}}"),
            unit="percentunit",
        ),
        series(
            "Memory",
            "Resident memory of the daemon.",
            Query("process_resident_memory_bytes{@}", "{{instance}}"),
            unit="bytes",
        ),
        series(
            "Connections to the metrics",
            "Connections to the process that serves metrics and health, and those that it refused in each interval.",
            Query("hactl_http_connections{@}", "{{instance}}"),
            increase("hactl_http_refused_total", "instance, reason", "{{instance}} refused: {{reason}}"),
        ),
        series(
            "Age of the metrics",
            "How old the daemon's last answer is. It is some seconds at most while the daemon answers.",
            Query("hactl_snapshot_age_seconds{@}", "{{instance}}"),
            unit="s",
        ),
    ),
)

ROWS = (CLUSTER, NODES, ETCD, HAPROXY, FENCING, DAEMONS)
