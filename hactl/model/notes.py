"""The table of notes: what a node tells people, in its log, in the history of the cluster and in metrics.

Nothing acts on a note. docs/events.md is made from this table.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Severity = Literal["info", "warning", "error"]
# From the lowest.
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")


class Kind(NamedTuple):
    """One event. `kept`: in the history of the cluster. `logged`: logged as a note; else the part that notes it logs it
    itself, with more. `reload`: counted by `hactl_haproxy_reloads_total` with this outcome. `when_not_ok`: its severity
    where its `ok` is false. `everywhere`: every node notes it of the same thing."""

    name: str
    severity: Severity
    meaning: str
    kept: bool = True
    logged: bool = True
    reload: str = ""
    when_not_ok: Severity | None = None
    everywhere: bool = False

    def severity_of(self, data: dict[str, Any]) -> Severity:
        """The severity of a note with this data."""
        if self.when_not_ok is not None and data.get("ok") is False:
            return self.when_not_ok
        return self.severity


SECTIONS: dict[str, tuple[Kind, ...]] = {
    "Groups": (
        Kind("group_acquire", "info", "this node has taken the group, in etcd"),
        Kind("group_accept", "info", "this node has accepted the group that another node handed over"),
        Kind("group_resume", "info", "maintenance is over: this node has taken the group again, as it was found"),
        Kind("group_unmanaged", "info", "maintenance: the group is left alone from now on; `by`, `until`"),
        Kind("group_reclaim", "info", "this node has taken a group again that an overlap gave back"),
        Kind("group_running", "info", "all resources of the group run"),
        Kind("group_leaving", "info", "the owner begins to give the group up; `to`: the node that gets it"),
        Kind("group_given_back", "warning", "the new owner in an overlap could not start it and gave it back"),
        Kind("group_not_mine", "warning", "something of the group ran here, and another node owns it; it is stopped"),
        Kind("group_retired", "info", "a group that is in no configuration any more was released"),
        Kind("group_blocked", "error", "a resource cannot be stopped, and this node takes itself down for it"),
        Kind("group_held", "error", "the group was moved by its failures too often: it stays where it is"),
        Kind("group_not_held", "info", "a group that was held has run well for long enough"),
        Kind("asks_to_be_fenced", "error", "a resource cannot be stopped, and this node has the others fence it"),
        Kind("group_cleaned_up", "info", "`hactl group cleanup` was carried out"),
        Kind(
            "group_restarts", "info", "`hactl group restart`: everything of the group is stopped here and starts again"
        ),
        Kind("planned_over", "info", "what an operator had asked for has come to its end; `key`"),
        Kind("self_fence_waits", "info", "this node would take itself down, and waits: another node goes down first"),
        Kind("move_refused", "warning", "a planned move is not possible; `reason`"),
        Kind("failover", "info", "a takeover is complete, with the time of each part (`hactl timeline`)"),
        Kind("node_not_ready", "warning", "this node is not well for a group"),
        Kind("node_ready", "info", "this node is well for a group again"),
        Kind("failure_cause_gone", "info", "the reason of a failure is gone; the failure is forgotten"),
    ),
    "Resources": (
        Kind("resource_started", "info", "a resource was started"),
        Kind("resource_stopped", "info", "a resource was stopped"),
        Kind("resource_failed", "warning", "a start or monitor failed; `reason`, `failures`"),
        Kind(
            "instance_given_up",
            "error",
            "of a group that runs on every node: here it failed more than `restarts` times. Groups that must run with "
            "it leave; it is tried again all the same; `reason`",
        ),
        Kind("resource_recovered", "info", "a resource that had failed is well again, before it was restarted"),
        Kind("resource_ended", "info", "it ended by itself while its node releases everything: no failure is counted"),
        Kind("stop_failed", "error", "a stop or kill failed; it is tried again"),
        Kind("resource_put_right", "warning", "something else changed a resource, and hactl corrected it"),
        Kind("resource_appeared", "warning", "a resource runs on a node that does not own its group"),
        Kind("resource_warning", "warning", "something is wrong with a resource that runs, for some time or often"),
        Kind("resource_warning_over", "info", "it is over"),
    ),
    "Sessions and nodes": (
        Kind("session_opened", "info", "this node takes part: its session is open"),
        Kind("session_closed", "info", "the session has ended in order"),
        Kind("session_adopted", "info", "a new daemon continues the session of the previous one"),
        Kind("session_new", "info", "a new session was needed; `reason`"),
        Kind("session_not_mine", "warning", "this node cannot say that its last session is stopped"),
        Kind("session_foreign", "error", "another process renewed this node's session"),
        Kind("lease_lapsing", "warning", "the lease is about to end; everything exclusive is killed"),
        Kind("deposed", "warning", "another node ended this node's session"),
        Kind("peer_over", "warning", "the lease of another node is over", everywhere=True),
        Kind("peer_deposed", "warning", "the session of another node was ended"),
        Kind(
            "session_lost", "warning", "a session disappeared from etcd without its end being written", everywhere=True
        ),
        Kind("machine_refused", "error", "another machine has the name of this node, and was told to end"),
        Kind("machine_id_in_use", "error", "another machine has the machine id of this node"),
        Kind("name_in_use", "error", "another machine has the name of this node"),
        Kind("original_answers", "warning", "another machine answers for this node's address"),
        Kind("original_not_asked", "warning", "hactl cannot find out whether another machine has this node's address"),
        Kind("waiting_for_fence_action", "info", "this node opens no session: a fence action against it goes on"),
        Kind("waiting_to_be_fenced", "info", "this node opens no session: an operator asked for its fencing"),
        Kind("waiting_for_repair", "info", "this node waits with its session: a document in etcd cannot be read"),
        Kind("unfenced", "info", "this node switched itself on by its devices with `unfence: true`"),
        Kind("guard_refused", "error", "the guard does not accept the session"),
        Kind("guard_lost", "error", "the guard died"),
        Kind("watchdog_armed", "info", "a watchdog resets this node before its lease ends"),
        Kind("watchdog_not_armed", "info", "no watchdog resets this node"),
        Kind("trouble", "warning", "something on this node does not work; what runs goes on"),
        Kind("trouble_over", "info", "it works again"),
        Kind("node_check_failed", "warning", "a health check of this node fails; `check`, `detail`"),
        Kind("node_check_passed", "info", "it passes again"),
        Kind("certificate_ends_soon", "warning", "a certificate of etcd's ends, or has ended; `path`, `end`, `days`"),
        Kind("hook_failed", "warning", "an event was not delivered to a hook, and is not tried again; `hook`, `of`"),
        Kind("hook_dropped", "warning", "a hook is too slow: the oldest events in its queue were dropped; `dropped`"),
        Kind("hook_test", "info", "`hactl hook test`; only the hook gets it", kept=False),
    ),
    "Fencing": (
        Kind("guard_holds", "info", "a silent node's guard answered: its fencing is delayed", everywhere=True),
        Kind("fence_action", "info", "an action of a fence device begins"),
        Kind("fence_acted", "info", "an action of a fence device has ended", when_not_ok="warning"),
        Kind("fence_action_ended", "info", "`hactl fence confirm` ended an action under way"),
        Kind("fence_failed", "error", "a round of all levels failed; `reason`"),
        Kind("fence_safe", "info", "a dead session is known to be stopped; `evidence`"),
        Kind("fence_on", "info", "the node was switched on again"),
        Kind("fence_asked", "info", "`hactl fence NODE`; `by`"),
        Kind("fence_confirmed", "info", "`hactl fence confirm NODE`; `by`"),
        Kind("fence_device_failed", "warning", "a fence device fails its test from this node"),
        Kind("fence_device_ok", "info", "a fence device passes its test again"),
    ),
    "etcd": (
        Kind("store_unreachable", "warning", "etcd does not answer this node", kept=False),
        Kind("store_reachable", "info", "etcd answers this node again", kept=False),
        Kind("watch_ended", "warning", "the watch cannot go on; everything is listed again", kept=False),
        Kind(
            "etcd_checked", "info", "what etcd is made of, once a start; `problem`: what is wrong with it", kept=False
        ),
        Kind("etcd_unusable", "error", "etcd has a problem and cannot be used"),
        Kind("etcd_weakened", "warning", "etcd has a problem, and works"),
        Kind("etcd_recovered", "info", "a problem of etcd is over"),
        Kind("store_refused", "error", "the store is not the one that this node knows"),
        Kind(
            "identity_accepted",
            "info",
            "this node takes part in a new history (`hactl init`, `hactl recover`)",
            everywhere=True,
        ),
        Kind("recovered", "info", "`hactl recover` was carried out"),
        Kind("document_unreadable", "info", "a document in etcd cannot be read", everywhere=True),
        Kind("document_readable", "info", "it can be read again", everywhere=True),
    ),
    "Configuration and operators": (
        Kind("config_in_use", "info", "this node uses a new configuration", everywhere=True),
        Kind("config_unreadable", "warning", "this node cannot use the newest configuration"),
        Kind("config_applied", "info", "`hactl config apply`; `by`"),
        Kind("config_signed", "info", "`hactl config sign`; `by`"),
        Kind("asked_failover", "info", "`hactl failover`"),
        Kind("scheduled_failover", "info", "`hactl failover --at`; `until`: the time"),
        Kind("withdrew_failover", "info", "a move that was asked for was withdrawn"),
        Kind("asked_standby", "info", "`hactl node standby`"),
        Kind("asked_online", "info", "`hactl node online`"),
        Kind("asked_drain", "info", "`hactl service drain`"),
        Kind("asked_undrain", "info", "`hactl service undrain`"),
        Kind("asked_cleanup", "info", "`hactl group cleanup`"),
        Kind("asked_stop", "info", "`hactl group stop`; `reason`"),
        Kind("asked_start", "info", "`hactl group start`"),
        Kind("asked_restart", "info", "`hactl group restart`"),
        Kind("asked_ban", "info", "`hactl group ban`; `until`"),
        Kind("asked_clear", "info", "`hactl group clear`"),
        Kind("asked_maintenance", "info", "`hactl maintenance on`, `hactl group unmanage`; `group`, `on`, `until`"),
        Kind("ended_maintenance", "info", "`hactl maintenance off`, `hactl group manage`"),
    ),
    "Services and HAProxy": (
        Kind("server_down", "warning", "this node's HAProxy finds a server down"),
        Kind("server_up", "info", "this node's HAProxy finds a server up again"),
        Kind("service_on_last_server", "warning", "one server of the service is left"),
        Kind("service_without_server", "error", "no server of the service is left"),
        Kind("service_recovered", "info", "the service has enough servers again"),
        Kind("probe_failed", "warning", "a request through the VIP failed"),
        Kind("probe_completed", "info", "a request through the VIP was answered again"),
        Kind("haproxy_applied", "info", "a change is in use; the step, and why no smaller one would do"),
        Kind("haproxy_not_applied", "warning", "HAProxy refuses the file; the old one stays in use"),
        Kind("haproxy_invalid", "warning", "hactl cannot render the file; the old one stays in use", reload="invalid"),
        Kind("haproxy_not_kept", "warning", "the last good file could not be written to disk"),
        Kind("haproxy_kept", "warning", "HAProxy was started with the last good file on disk", logged=False),
        Kind("haproxy_started", "info", "HAProxy was started", logged=False),
        Kind("haproxy_stopped", "info", "HAProxy was stopped", logged=False),
        Kind("haproxy_adopted", "info", "a new daemon found HAProxy running", kept=False, logged=False),
        Kind("haproxy_died", "warning", "HAProxy ended by itself", logged=False),
        Kind("haproxy_hung", "warning", "HAProxy did not answer and is killed", logged=False),
        Kind("haproxy_start_failed", "warning", "HAProxy cannot be started", logged=False),
        Kind("haproxy_reloaded", "info", "HAProxy was reloaded", logged=False, reload="ok"),
        Kind("haproxy_reload_failed", "warning", "a reload failed", logged=False, reload="failed"),
        Kind("haproxy_changed", "info", "servers were changed by commands, without a reload", logged=False),
        Kind("haproxy_change_failed", "warning", "HAProxy refused a command; a reload follows", logged=False),
        Kind("haproxy_mended", "warning", "somebody changed servers by hand; it was undone", logged=False),
        Kind("haproxy_certificate", "info", "a renewed certificate is in use", logged=False),
        Kind(
            "haproxy_certificate_refused",
            "warning",
            "a renewed certificate is unusable; the old one stays",
            logged=False,
        ),
        Kind("haproxy_resolved", "info", "the name of a server resolves now", logged=False),
        Kind("haproxy_old_workers_ended", "warning", "too many old workers: the oldest was ended", logged=False),
    ),
}
KINDS: dict[str, Kind] = {kind.name: kind for kinds in SECTIONS.values() for kind in kinds}
RELOADS: dict[str, str] = {kind.name: kind.reload for kind in KINDS.values() if kind.reload}


def kind_of(event: str) -> Kind:
    """The kind of an event; one of another version's is information."""
    return KINDS.get(event) or Kind(event, "info", "")
