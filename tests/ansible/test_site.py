"""site.yml on three empty machines, and each kind of change after that. The tests go on from one another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hactl.lab.system import wait_until
from tests.ansible.playbook import CHECK, LIMITED, RUN, Control
from tests.machines import debian
from tests.machines.cluster import Cluster
from tests.machines.machine import Machine
from tests.machines.rack import Rack
from tests.support.package import with_version

GROUP = "vip"
CONFIGURATION = """\
cluster: prod
timing: {profile: wan}
nodes:
  - {name: n1, address: 10.77.0.11}
  - {name: n2, address: 10.77.0.12}
  - {name: n3, address: 10.77.0.13}
groups:
  - name: vip
    resources:
      - name: web-address
        vip: {address: 10.77.0.30/24}
"""
SECRET = "only for tests"


def daemons(cluster: Cluster) -> dict[str, str]:
    """The number of each node's daemon."""
    show = ("systemctl", "show", "--property=MainPID", "--value", "hactl")
    return {machine.name: machine.look(*show) for machine in cluster.machines}


def ownership(cluster: Cluster) -> tuple[Any, ...]:
    """Who has the group, since which acquisition."""
    [group] = [group for group in cluster.status(cluster.machines[0])["groups"] if group["name"] == GROUP]
    return group["state"], group["owner"], group["epoch"]


def test_a_check_on_empty_machines(control: Control, cluster: Cluster) -> None:
    checked = control.must(CHECK)
    assert set(checked.changed) == {"n1", "n2", "n3"}
    assert "a run without --check would install it" in checked.text
    assert [machine.look("ls", "/usr/bin/hactl") for machine in cluster.machines] == ["", "", ""]


def test_from_nothing_to_a_cluster(control: Control, cluster: Cluster) -> None:
    control.variables |= {"hactl_cluster_yaml": CONFIGURATION, "hactl_secrets": [{"name": "pdu", "content": SECRET}]}
    done = control.must()
    assert set(done.changed) == {"n1", "n2", "n3"}
    assert SECRET not in done.text and "PRIVATE KEY" not in done.text
    cluster.await_well()
    assert ownership(cluster)[0] == "running"
    for machine in cluster.machines:
        members = cluster.status(machine)["etcd"]["members"]
        assert {member["name"] for member in members} == {"n1", "n2", "n3"}
        assert machine.look("stat", "-c", "%a %U", "/etc/hactl/secrets/pdu") == "600 root"
        assert machine.look("cat", "/etc/hactl/secrets/pdu") == SECRET


def test_a_second_run_changes_nothing(control: Control, cluster: Cluster) -> None:
    before = daemons(cluster), ownership(cluster)
    assert control.must().changed == {}
    assert control.must(CHECK).changed == {}
    assert (daemons(cluster), ownership(cluster)) == before


def test_a_setting_restarts_node_by_node_and_nothing_moves(control: Control, cluster: Cluster) -> None:
    before, owned = daemons(cluster), ownership(cluster)
    control.variables["hactl_node_settings"] = {"log_level": "debug"}
    checked = control.must(CHECK)
    assert checked.tasks("Restart hactl's daemon") == ["n1", "n2", "n3"]
    assert daemons(cluster) == before
    done = control.must()
    assert done.tasks("Restart hactl's daemon") == ["n1", "n2", "n3"]
    assert all(number != before[name] for name, number in daemons(cluster).items())
    assert ownership(cluster) == owned
    assert control.must().changed == {}


def test_another_inventory_is_refused_before_anything_is_changed(control: Control, machines: Rack) -> None:
    control.groups["hactl_nodes"] = machines.first_three[:2]
    refused = control.run()
    control.groups["hactl_nodes"] = machines.first_three
    refused.failed_with("The inventory and the cluster differ in n3=10.77.0.13")
    assert not refused.changed


def test_an_upgrade_goes_node_by_node_and_nothing_moves(control: Control, cluster: Cluster, tmp_path: Path) -> None:
    before, owned = daemons(cluster), ownership(cluster)
    control.variables["hactl_package"] = str(with_version(debian.package(), "+later", tmp_path))
    assert control.must(CHECK).changed.keys() == {"n1", "n2", "n3"}
    done = control.must()
    assert done.tasks("Install the package") == ["n1", "n2", "n3"]
    assert all(
        machine.look("dpkg-query", "-Wf", "${Version}", "hactl").endswith("+later") for machine in cluster.machines
    )
    assert all(number != before[name] for name, number in daemons(cluster).items())
    assert ownership(cluster) == owned
    assert control.must().changed == {}


def test_a_configuration_is_checked_and_then_applied(control: Control, cluster: Cluster) -> None:
    good = CONFIGURATION.replace("10.77.0.30/24", "10.77.0.31/24")
    control.variables["hactl_cluster_yaml"] = good.replace("web-address", "web address")
    for command in (CHECK, RUN):
        refused = control.run(command)
        refused.failed_with("web address")
    control.variables["hactl_cluster_yaml"] = good
    assert control.must(CHECK).tasks("Compare it with the one in use") == ["n1"]
    assert control.must().changed == {"n1": 2}
    cluster.await_well()
    assert any("10.77.0.31/24" in machine.look("ip", "-o", "addr") for machine in cluster.machines)
    assert control.must().changed == {}


def targets(machine: Machine) -> dict[str, str]:
    """What Prometheus there scrapes: the health of each target."""
    answer = machine.look(
        "python3",
        "-c",
        "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9090/api/v1/targets').read().decode())",
    )
    active = json.loads(answer)["data"]["activeTargets"] if answer else []
    return {
        target["labels"]["instance"]: target["health"] for target in active if target["labels"].get("cluster") == "prod"
    }


def test_prometheus_and_grafana(control: Control, machines: Rack) -> None:
    n4 = machines["n4"]
    n4.type("apt-get install -y -qq --no-install-recommends prometheus")
    n4.run("mkdir", "-p", "/etc/grafana/provisioning/dashboards")
    n4.write("/etc/systemd/system/grafana-server.service", "[Service]\nExecStart=/bin/sleep infinity\n")
    n4.run("systemctl", "daemon-reload")
    control.groups["hactl_monitoring"] = [n4]
    control.must()
    up = {f"10.77.0.{number}:9664": "up" for number in (11, 12, 13)}
    wait_until(lambda: targets(n4) == up, deadline_s=90, goal="Prometheus scrapes every node")
    dashboard = json.loads(n4.path("/var/lib/grafana/dashboards/hactl/hactl.json").read_text())
    assert dashboard["uid"] == "hactl"
    assert control.must().changed == {}


def test_nothing_is_restarted_while_a_node_is_away_and_later_it_is_made_up_for(
    control: Control, cluster: Cluster, machines: Rack
) -> None:
    before = daemons(cluster)
    machines["n3"].cut()
    cluster.await_seen(machines["n3"], "dead")
    control.variables |= {"hactl_node_settings": {"log_level": "info"}, "hactl_well_retries": 2}
    refused = control.run(LIMITED)
    refused.failed_with("The cluster is not well, so nothing more is done")
    unreachable = control.run()
    assert not unreachable.ok and not unreachable.changed
    assert daemons(cluster)["n1"] == before["n1"]
    machines.power_on([machines["n3"]])
    cluster.await_well()
    control.variables["hactl_well_retries"] = 60
    assert control.must().tasks("Restart hactl's daemon") == ["n1", "n2", "n3"]
    assert daemons(cluster)["n1"] != before["n1"]
