"""What Prometheus is told."""

from __future__ import annotations

import dataclasses
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from election.etcd.facts import EndpointFacts, EtcdMember
from election.etcd.server_metrics import ServerMetrics
from hactl.daemon.metric_table import HEALTH, OUTCOMES, TABLE
from hactl.daemon.metrics import Metrics
from hactl.daemon.parts.ledger import PHASE_NAMES, REASONS, Timeline
from hactl.decide.local_group import LocalGroup
from hactl.haproxy.control.runtime import ServerState
from hactl.model.purposes import Purpose
from hactl.status.etcd.judge import Beside, SnapshotAge, judge
from hactl.status.health import NodeHealth, ProbeHealth
from tests.support.scene import CLUSTER, KEYS, Scene, at
from tests.support.stand_in import node_state

Samples = dict[str, dict[tuple[str, ...], float]]


def samples(metrics: Metrics) -> Samples:
    """By sample name, then by label values in the order of the labels' names."""
    by_name: Samples = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            by_name.setdefault(sample.name, {})[tuple(sample.labels[name] for name in sorted(sample.labels))] = (
                sample.value
            )
    return by_name


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.join("n1", "n2")
    scene.own("vip", "n1")
    return scene


def collected(scene: Scene) -> Samples:
    metrics = Metrics()
    state = node_state(scene.spec, "n1")
    state.view.load(scene.store.snapshot(KEYS.prefix, timeout_s=1))
    state.session.state, state.session.session_id = "live", "s-n1"
    state.session.session_revision = state.view.sessions["n1"].create_revision
    state.session.valid_until = at(5000)
    state.config_rev = 12
    state.guard_ready = True
    vip = scene.spec.group("vip")
    assert vip is not None
    state.runs["vip"] = LocalGroup(vip, health={"address": "running"})
    watchdog = {"armed": True, "timeout_s": 3, "last_fed_s": 0.25}
    metrics.collect(state, at(3000), dropped=4, watchdog=watchdog)
    metrics.collect(state, at(3000), dropped=4, watchdog=watchdog)
    return samples(metrics)


def test_metrics_that_need_no_cluster_are_there_from_the_start() -> None:
    known = samples(Metrics())
    assert len(known["hactl_store_requests_total"]) == len(Purpose) * len(OUTCOMES)
    assert set(known["hactl_haproxy_reloads_total"]) == {("ok",), ("failed",), ("invalid",)}
    assert {"hactl_renew_seconds_count", "hactl_lease_remaining_seconds", "process_cpu_seconds_total"} <= set(known)


def test_every_configured_group_has_all_its_series(scene: Scene) -> None:
    known = collected(scene)
    groups = ("database", "vip")
    assert set(known["hactl_failovers_total"]) == {(group, reason) for group in groups for reason in REASONS}
    assert set(known["hactl_failover_phase_seconds_count"]) == {(each, name) for each in groups for name in PHASE_NAMES}
    assert known["hactl_group_info"] == {("vip", "n1", "owned"): 1, ("database", "", "unowned"): 1}
    assert known["hactl_group_owned"] == {("vip",): 1, ("database",): 0}
    assert {key[2]: value for key, value in known["hactl_resource_state"].items() if key[1] == "address"} == {
        word: float(word == "running") for word in HEALTH
    }
    assert known["hactl_resource_state"]["database", "mariadb", "unknown"] == 1


def test_a_group_is_enabled_or_not(scene: Scene) -> None:
    groups = tuple(dataclasses.replace(group, enabled=group.name == "vip") for group in scene.spec.groups)
    scene.spec = dataclasses.replace(scene.spec, groups=groups)
    assert collected(scene)["hactl_group_enabled"] == {("vip",): 1, ("database",): 0}


def test_what_is_known_now(scene: Scene) -> None:
    scene.join("n3")
    scene.kill("n3")
    known = collected(scene)
    assert known["hactl_lease_remaining_seconds"][()] == 2.0
    assert known["hactl_config_revision"][()] == 12
    assert known["hactl_guard_ready"][()] == 1
    assert known["hactl_fence_pending"][()] == 1
    assert {state: count for (state,), count in known["hactl_nodes"].items() if count} == {
        "online": 2,
        "fence_pending": 1,
    }
    assert known["hactl_events_dropped_total"][()] == 4
    assert [known[f"hactl_watchdog_{name}"][()] for name in ("armed", "timeout_seconds", "last_fed_seconds")] == [
        1, 3, 0.25,
    ]  # fmt: skip


def test_a_group_has_one_owner_at_a_time(scene: Scene) -> None:
    metrics, state = Metrics(), node_state(scene.spec, "n1")
    state.view.load(scene.store.snapshot(KEYS.prefix, timeout_s=1))
    metrics.collect(state, at(0))
    scene.own("vip", "n2")
    state.view.load(scene.store.snapshot(KEYS.prefix, timeout_s=1))
    metrics.collect(state, at(1))
    assert samples(metrics)["hactl_group_info"] == {("vip", "n2", "owned"): 1, ("database", "", "unowned"): 1}


def test_what_happens_is_counted() -> None:
    metrics = Metrics()
    metrics.observe_txn(Purpose.RENEW, 0.004, "ok")
    metrics.observe_txn(Purpose.RENEW, 0.1, "unknown")
    metrics.note("haproxy_reloaded", {})
    metrics.note("group_running", {"group": "vip"})
    marks = [("silent", at(0)), ("over", at(3000)), ("acquired", at(3500)), ("running", at(4000))]
    metrics.observe_timeline(Timeline("vip", "node_lost", "n1", "n2", 6, marks=marks))
    counted = samples(metrics)
    assert counted["hactl_renew_seconds_count"][()] == 1
    assert counted["hactl_store_requests_total"]["ok", "renew"] == 1
    assert counted["hactl_store_requests_total"]["unknown", "renew"] == 1
    assert counted["hactl_store_seconds_count"]["renew",] == 1
    assert counted["hactl_haproxy_reloads_total"]["ok",] == 1
    assert counted["hactl_failovers_total"]["vip", "node_lost"] == 1
    assert counted["hactl_failover_phase_seconds_sum"]["vip", "detect"] == 3.0
    assert counted["hactl_failover_phase_seconds_sum"]["vip", "total"] == 4.0


def test_servers_as_haproxy_sees_them_and_outcomes_of_probes() -> None:
    def server(service: str, name: str, status: str, weight: int = 100, sessions: int = 0) -> ServerState:
        return ServerState(service, name, "", status, True, weight, sessions, "", "", 0)

    metrics = Metrics()
    states = [
        server("api", "n1", "UP 1/2", sessions=7),
        server("api", "n2", "DOWN"),
        server("api", "n3", "UP", weight=0),
    ]
    well, ill = ProbeHealth("completed", 5.0), ProbeHealth("failed", 3000.0, "no answer")
    metrics.observe_probe("api", 0.005, True)
    metrics.observe_probe("db", 3.0, False)
    metrics.observe_applied("runtime")
    metrics.collect_services(states, NodeHealth("n1", "s", running=True, probes={"api": well, "db": ill}))
    known = samples(metrics)
    assert known["hactl_service_servers"] == {
        ("api", "up"): 1, ("api", "down"): 1, ("api", "drained"): 1, ("api", "disabled"): 0,
    }  # fmt: skip
    assert known["hactl_server_up"] == {("n1", "api"): 1, ("n2", "api"): 0, ("n3", "api"): 0}
    assert known["hactl_server_sessions"]["n1", "api"] == 7
    assert known["hactl_probe_success"] == {("api",): 1, ("db",): 0}
    assert known["hactl_probe_failures_total"] == {("api",): 0, ("db",): 1}
    assert known["hactl_probe_seconds_count"] == {("api",): 1}
    assert known["hactl_haproxy_running"][()] == 1
    assert known["hactl_haproxy_applied_total"] == {
        ("none",): 0, ("runtime",): 1, ("reload",): 0, ("start",): 0, ("stop",): 0,
    }  # fmt: skip


def test_things_that_are_gone_have_no_metrics() -> None:
    metrics = Metrics()
    metrics.observe_probe("api", 0.005, True)
    state = ServerState("api", "n1", "", "UP", True, 100, 0, "", "", 0)
    metrics.collect_services(
        [state], NodeHealth("n1", "s", running=True, probes={"api": ProbeHealth("completed", 5.0)})
    )
    metrics.forget_probe("api")
    metrics.forget_probe("api")
    metrics.collect_services([], NodeHealth("n1", "s"))
    known = samples(metrics)
    assert not [name for name in known if name.startswith(("hactl_probe", "hactl_server_", "hactl_service"))]


def test_names_keep_to_the_conventions() -> None:
    for metric in TABLE:
        assert re.fullmatch(r"hactl_[a-z_]+", metric.name) and metric.help.endswith("."), metric
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric
        assert metric.name.endswith("_seconds") or metric.kind != "histogram", metric
        assert bool(metric.buckets) == (metric.kind == "histogram"), metric


def test_etcd() -> None:
    metrics = Metrics()
    members = tuple(EtcdMember(number, f"n{number}", (f"http://10.0.0.{number}:2379",)) for number in (1, 2))
    well = EndpointFacts("10.0.0.1:2379", "", 9, 1, 1, "3.4.23", 100, 1000, members=members, read_ms=5.0)
    away = EndpointFacts("10.0.0.2:2379", "no answer")
    measured = {well.endpoint: ServerMetrics(1000, ((0.004, 90.0), (0.008, 99.0), (0.016, 100.0)))}
    nodes = {"n1": "10.0.0.1", "n2": "10.0.0.2", "n3": "10.0.0.3"}
    beside = Beside("etcdctl", nodes=nodes, measured=measured, snapshot=SnapshotAge(1234.0, 10.0))
    metrics.collect_etcd(judge([well, away], beside))
    seen = samples(metrics)
    assert seen["hactl_etcd_members"] == {(): 2} and seen["hactl_etcd_snapshot_timestamp_seconds"] == {(): 1234}
    assert seen["hactl_etcd_quota_bytes"] == {("10.0.0.1:2379",): 1000}
    assert seen["hactl_etcd_fsync_seconds"] == {("10.0.0.1:2379",): 0.008}
    assert seen["hactl_etcd_endpoint_up"] == {("10.0.0.1:2379",): 1, ("10.0.0.2:2379",): 0}
    told = {code for (code,), value in seen["hactl_etcd_problem"].items() if value}
    assert told == {"endpoint_dead", "few_members"}


def test_hooks() -> None:
    metrics = Metrics()
    hook = {"name": "chat", "problem": "", "waiting": 2, "sent": 3, "failed": 1, "dropped": 0}
    metrics.collect_hooks([hook])
    metrics.collect_hooks([{**hook, "sent": 5, "problem": "no answer"}, {**hook, "name": "mail"}])
    seen = samples(metrics)
    assert seen["hactl_hook_ok"] == {("chat",): 0, ("mail",): 1}
    assert seen["hactl_hook_waiting"] == {("chat",): 2, ("mail",): 2}
    events = seen["hactl_hook_events_total"]
    assert (events["chat", "sent"], events["chat", "failed"], events["chat", "dropped"]) == (5, 1, 0)
    metrics.collect_hooks([])
    assert "hactl_hook_ok" not in samples(metrics)


def test_health_checks() -> None:
    metrics = Metrics()
    metrics.collect_checks({"disk": {"ok": False, "text": "", "value": 2.5}, "link": {"ok": True, "text": ""}})
    seen = samples(metrics)
    assert seen["hactl_node_health"] == {("disk",): 0, ("link",): 1}
    assert seen["hactl_node_health_value"] == {("disk",): 2.5}
    metrics.collect_checks({})
    assert "hactl_node_health" not in samples(metrics)


def test_a_group_that_runs_on_every_node() -> None:
    clone = """groups:
  - {name: broker, run: all, resources: [{name: rabbit, systemd: {unit: rabbitmq-server.service}}]}
"""
    scene = Scene(cluster=CLUSTER.replace("groups:\n", clone))
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n1")
    scene.report("n2", {"broker": {"phase": "running"}})
    found = collected(scene)
    assert found["hactl_instance_state"][("broker", "stopped")] == 1
    assert found["hactl_instance_wanted"] == {("broker",): 1}
    assert found["hactl_instances"] == {("broker", "running"): 1, ("broker", "wanted"): 3}
    assert found["hactl_group_enabled"][("broker",)] == 1 and found["hactl_maintenance"][("broker",)] == 0
    assert found["hactl_resource_state"][("broker", "rabbit", "unknown")] == 1
    assert ("broker",) not in found["hactl_group_owned"]  # nobody has to: no alert
    scene.put(KEYS.standby("n1"), "anna")
    assert collected(scene)["hactl_instance_wanted"] == {("broker",): 0}
