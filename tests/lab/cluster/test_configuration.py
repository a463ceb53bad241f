"""Daemons follow the configuration without a restart; one that cannot be read changes nothing."""

from __future__ import annotations

import copy
import os
import signal
import sys
from typing import Any

import pytest

from hactl.lab.spec import SERVICE_VIP
from hactl.lab.system import LabError
from tests.support.guard_client import GuardClient

from .status_document import group_named, has_warning
from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

NEW_VIP, OTHER_VIP = "10.77.0.40", "10.77.0.41"


def vip_group(name: str, address: str, **more: Any) -> dict[str, Any]:
    """A group of one address."""
    return {"name": name, "resources": [{"name": "only", "vip": {"address": f"{address}/24"}}], **more}


@pytest.fixture
def daemons(cluster: Cluster) -> Any:
    """The daemons' processes, which must be the same afterwards."""
    before = {name: node.daemon_pid() for name, node in cluster.nodes.items()}
    yield before
    assert {name: node.daemon_pid() for name, node in cluster.nodes.items()} == before


@pytest.mark.usefixtures("daemons")
def test_a_group_is_added_changed_and_removed(cluster: Cluster) -> None:
    service, pids = cluster.group("service"), cluster.service_pids(cluster.owner("service"))
    assert "+ groups.extra" in cluster.apply(cluster.with_groups(vip_group("extra", NEW_VIP, nodes=["n3", "n2"])))
    cluster.settle("extra", "n3")
    holders = cluster.judge.watcher.holders
    cluster.until(lambda: holders(NEW_VIP) == ["n3"], "the address is on n3")
    first = cluster.group("extra").epoch

    cluster.apply(cluster.with_groups(vip_group("extra", OTHER_VIP, nodes=["n3", "n2"])))
    cluster.until(lambda: (holders(NEW_VIP), holders(OTHER_VIP)) == ([], ["n3"]), "the address has changed")
    cluster.await_running("extra", ["n3"])
    assert cluster.group("extra").epoch >= first

    before = cluster.applied
    with pytest.raises(LabError, match=r"exit 1: .*extra"):  # it must be released first
        cluster.apply(cluster.base)
    cluster.applied = before
    assert holders(OTHER_VIP) == ["n3"]
    cluster.configure(cluster.base)
    assert holders(OTHER_VIP) == []
    assert cluster.group("extra").state == "released"
    assert [group["name"] for group in cluster.status("n1")["groups"]] == ["vip", "service"]
    # Nothing else was disturbed.
    assert cluster.group("service") == service
    assert cluster.service_pids(service.node) == pids
    assert cluster.changes(SERVICE_VIP) == []


@pytest.mark.usefixtures("daemons")
def test_the_address_of_a_running_group_is_changed(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    changed = copy.deepcopy(cluster.base)
    vip = group_named(changed, "service")["resources"][0]["vip"]
    vip["address"] = f"{NEW_VIP}/24"
    cluster.apply(changed)
    holders = cluster.judge.watcher.holders
    cluster.until(lambda: (holders(SERVICE_VIP), holders(NEW_VIP)) == ([], [owner]), "the address has changed")
    cluster.configure(cluster.base)
    cluster.await_running("service", [owner])


@pytest.mark.usefixtures("daemons")
def test_the_timing_is_changed(cluster: Cluster) -> None:
    """A longer lease and a shorter one: every session says so, nothing stops."""
    groups = cluster.store.view().groups
    cluster.begin()
    for lease_s in (5, 2):
        cluster.configure({**cluster.base, "timing": {**cluster.base["timing"], "lease": f"{lease_s}s"}})
        cluster.until(
            lambda ms=lease_s * 1000: (
                {session.record.lease_ms for session in cluster.store.view().sessions.values()} == {ms}
            ),  # type: ignore[misc]
            f"every lease is {lease_s} s",
        )
        cluster.await_renewals()
    assert cluster.store.view().groups == groups
    assert cluster.changes(SERVICE_VIP) == []


@pytest.mark.usefixtures("daemons")
def test_a_configuration_that_is_refused_changes_nothing(cluster: Cluster) -> None:
    before = cluster.store.get(cluster.store.keys.config)
    wrong = cluster.with_groups(vip_group("extra", NEW_VIP, wrong=1))
    with pytest.raises(LabError, match=r"exit 2: .*unknown key"):
        cluster.apply(wrong)
    unsafe = {**cluster.base, "timing": {"profile": "fast", "lease": "300ms"}}
    with pytest.raises(LabError, match=r"exit 2: .*lease"):
        cluster.apply(unsafe)
    cluster.applied = cluster.base
    assert cluster.store.get(cluster.store.keys.config) == before


@pytest.mark.usefixtures("daemons")
@pytest.mark.parametrize("text", ["{", '{"version": 1}'])
def test_an_unreadable_configuration_keeps_the_old(cluster: Cluster, text: str) -> None:
    view, key = cluster.store.view(), cluster.store.keys.config
    assert view.config is not None
    cluster.store.put(key, text)
    for name in cluster.nodes:
        cluster.await_event(name, "config_unreadable")
        problem = cluster.status(name)["config"]["problem"]
        assert problem
        assert has_warning(cluster.status(name), problem)
    cluster.await_renewals()
    assert cluster.store.view().groups == view.groups
    assert cluster.changes(SERVICE_VIP) == []
    cluster.store.put(key, view.config.record)
    cluster.await_live()
    assert cluster.status("n1")["config"]["problem"] == ""


def test_a_node_is_lost_while_the_configuration_is_unreadable(cluster: Cluster) -> None:
    """The old one is kept: the groups that it names are taken over."""
    owner = cluster.owner("service")
    cluster.bring(owner)
    config = cluster.store.get(cluster.store.keys.config)
    assert config is not None
    cluster.store.put(cluster.store.keys.config, "{")
    for name in cluster.nodes:
        cluster.await_event(name, "config_unreadable")
    cluster.lab.kill(owner)
    try:
        cluster.await_all_running(cluster.others(owner))
    finally:
        cluster.store.put(cluster.store.keys.config, config.value)


def test_a_daemon_comes_back_while_the_configuration_is_unreadable(cluster: Cluster) -> None:
    """It goes on with the last one that this node could read: nothing stops."""
    owner = cluster.owner("service")
    pids, config = cluster.service_pids(owner), cluster.store.get(cluster.store.keys.config)
    assert pids
    assert config is not None
    cluster.store.put(cluster.store.keys.config, "{")
    try:
        cluster.await_event(owner, "config_unreadable")
        cluster.node(owner).kill_daemon()
        cluster.await_event(owner, "session_adopted")
        assert cluster.service_pids(owner) == pids
    finally:
        cluster.store.put(cluster.store.keys.config, config.value)


def guarded(cluster: Cluster, node: str) -> tuple[str, ...]:
    """The resources that a node's guard would stop."""
    with GuardClient(str(cluster.node(node).home / "run" / "guard.sock")) as guard:
        return guard.status().exclusive


def test_a_resource_registered_but_never_started_is_forgotten(cluster: Cluster) -> None:
    """The guard acknowledges a resource late, when its group is on its way to another node."""
    cluster.bring("n1")
    cluster.apply(cluster.with_groups(vip_group("extra", NEW_VIP, nodes=["n2", "n3"])))
    cluster.settle("extra", "n2")
    cluster.begin()
    guards = cluster.node("n3").group.child("guard").pids()
    for pid in guards:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert cluster.api("n1", "/v1/failover", {"group": "extra", "to": "n3"})[0] == 200
        cluster.until(lambda: cluster.owner("extra") == "n3" and cluster.group("extra").state == "owned", "n3 has it")
        assert cluster.api("n1", "/v1/node/standby", {"node": "n3", "force": False})[0] == 200
        cluster.until(lambda: cluster.owner("extra") == "n2", "it goes back to n2")
    finally:
        for pid in guards:
            os.kill(pid, signal.SIGCONT)
    assert not cluster.events("n3", "resource_started")
    cluster.await_running("extra", ["n2"])
    cluster.until(lambda: guarded(cluster, "n3") == (), "n3's guard holds nothing")


def test_a_group_whose_owner_is_dead_is_taken_out(cluster: Cluster) -> None:
    extra = vip_group("extra", NEW_VIP, nodes=["n3"])
    cluster.apply(cluster.with_groups(extra))
    cluster.await_running("extra", ["n3"])
    cluster.lab.kill("n3")
    cluster.await_all_running(["n1", "n2"])
    cluster.apply(cluster.with_groups({**extra, "enabled": False}))
    cluster.until(lambda: cluster.group("extra").state == "released", "it is released")


def test_a_service_whose_command_does_not_exist(cluster: Cluster) -> None:
    """It is tried everywhere, and the reason is shown; nothing else is disturbed."""
    service = cluster.group("service")
    group = {
        "name": "broken",
        "restarts": 1,
        "failure_expiry": "5m",
        "resources": [{"name": "nothing", "exec": {"command": ["/nonexistent/program"]}}],
    }
    cluster.apply(cluster.with_groups(group))
    cluster.until(lambda: len(cluster.store.view().failures) == 3, "it has failed on every node")
    shown = group_named(cluster.status("n1"), "broken")
    assert shown["state"] != "running"
    assert set(shown["excluded"]) == set(cluster.nodes)
    for why in shown["excluded"].values():
        assert "/nonexistent/program" in why
    warnings = [warning["what"] for warning in cluster.status("n1")["warnings"]]
    assert sum("broken" in text and "/nonexistent/program" in text for text in warnings) >= 3
    assert cluster.group("service") == service
    cluster.store.delete(cluster.store.keys.prefix + "failures/")
    group["resources"] = [
        {"name": "nothing", "exec": {"command": [sys.executable, "-c", "import time; time.sleep(999)"]}}
    ]
    cluster.apply(cluster.with_groups(group))
    cluster.await_running("broken")
