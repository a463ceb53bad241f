"""Who may start a unit that is a resource of hactl's: on a real systemd, with a daemon of hactl's in the container."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from controller import Controller, booted
from nspawn import until

CLUSTER = """cluster: units
timing: {lease: 6s, stop_budget: 2s}
nodes: [{name: n1, address: 127.0.0.1}, {name: n2, address: 127.0.0.2}]
groups:
  - name: database
    nodes: [n1]
    fencing: required
    resources:
      - name: server
        systemd: {unit: %(server)s}
  - name: job
    nodes: [n1]
    resources:
      - name: once
        systemd: {unit: once.service}
  - name: elsewhere
    nodes: [n2]
    resources:
      - name: web
        systemd: {unit: web.service}
"""
SERVER = """[Unit]
StartLimitIntervalSec=0
RefuseManualStart=yes
RefuseManualStop=yes
[Service]
ExecStart=/bin/sleep 300000
Restart=always
RestartSec=0
RestartForceExitStatus=SIGKILL 0
[Install]
WantedBy=multi-user.target
Alias=mysql.service
"""
ONCE = """[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo did >> /var/tmp/once'
ExecStop=/bin/sh -c 'echo undid >> /var/tmp/once'
"""
NEEDS = "[Unit]\nRequires=database.service\nAfter=database.service\n[Service]\nExecStart=/bin/sleep 500000\n"
DROP_IN = "/run/systemd/system/database.service.d/zz-hactl.conf"


def cluster(server: str = "database.service", **more: str) -> str:
    text = CLUSTER % {"server": server}
    return text.replace("name: database\n", f"name: database\n    enabled: {more.get('enabled', 'true')}\n")


class Node:
    def __init__(self, controller: Controller) -> None:
        self.controller, self.machine = controller, controller.machine

    def apply(self, text: str) -> str:
        self.controller.write("/etc/hactl/cluster.yaml", text)
        return self.controller.hactl("config", "apply", "/etc/hactl/cluster.yaml", "--skip-haproxy")

    def there(self, path: str) -> bool:
        return Path(f"{self.machine.root}{path}").exists()

    def read(self, path: str) -> str:
        return Path(f"{self.machine.root}{path}").read_text()

    def active(self, unit: str = "database.service") -> str:
        return self.controller.shown("ActiveState", unit)

    def state(self, group: str = "database") -> str:
        groups = {entry["name"]: entry["state"] for entry in self.controller.status()["groups"]}
        return str(groups.get(group))

    def guarded(self, unit: str = "database.service") -> bool:
        return "zz-hactl.conf" in self.controller.shown("DropInPaths", unit)


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    with booted(tmp_path_factory.mktemp("ownership") / "console", cluster()) as booted_controller:
        machine = booted_controller.machine
        machine.unit("once.service", ONCE)
        machine.unit("web.service", "[Service]\nExecStart=/bin/sleep 400000\n")
        booted_controller.write("/etc/systemd/system/database.service", SERVER)
        # Of an operator's, by its name after most others.
        booted_controller.write("/etc/systemd/system/database.service.d/override.conf", "[Service]\nRestart=always\n")
        booted_controller.write("/etc/systemd/system/needs.service", NEEDS)
        machine.run("systemctl", "daemon-reload")
        yield booted_controller


@pytest.fixture
def node(controller: Controller) -> Node:
    """The group `database` runs."""
    owner = Node(controller)
    said = controller.machine.run("systemctl", "start", "etcd.service", "hactl.service")
    assert said == "", controller.machine.run("journalctl", "-u", "hactl", "-n", "50")
    owner.apply(cluster())
    until(lambda: owner.state() == "running" and owner.state("job") == "running" and owner.guarded())
    assert owner.active() == "active"
    return owner


def test_systemd_restarts_nothing_by_itself(node: Node) -> None:
    assert node.controller.shown("Restart", "database.service") == "no"
    assert node.controller.shown("RestartForceExitStatus", "database.service") == ""
    pid = node.controller.shown("MainPID", "database.service")
    node.machine.run("sh", "-c", f"kill -9 {pid}")
    until(lambda: node.controller.shown("MainPID", "database.service") not in ("0", pid))
    restarts = node.controller.shown("NRestarts", "database.service")
    assert restarts == "0", "hactl started it, not systemd"
    until(lambda: node.state() == "running")


def test_nothing_starts_it_where_its_group_is_not(node: Node) -> None:
    """No person, no alias, nothing that needs it, no timer."""
    node.machine.run("systemctl", "enable", "database.service")  # makes its alias
    node.apply(cluster(enabled="false"))
    until(lambda: node.active() in ("inactive", "failed"))
    try:
        for unit in ("database.service", "mysql.service"):
            assert "ssertion failed" in node.machine.run("systemctl", "start", unit)
        assert "A dependency job for needs.service failed" in node.machine.run("systemctl", "start", "needs.service")
        assert node.active("needs.service") != "active", "what needs it does not run without it"
        refused = node.machine.run("journalctl", "-u", "database.service").count("ssert")
        node.machine.unit("database.timer", "[Timer]\nOnActiveSec=10ms\nAccuracySec=10ms\n")
        node.machine.run("systemctl", "start", "database.timer")
        until(lambda: node.machine.run("journalctl", "-u", "database.service").count("ssert") > refused)
        assert node.active() != "active"
        status = node.machine.run("systemctl", "status", "database.service")
        assert "AssertPathExists=/run/hactl/resources/owned/database.service was not met" in status, status
    finally:
        node.machine.run("systemctl", "stop", "needs.service", "database.timer")
        node.machine.run("systemctl", "disable", "database.service")


def test_others_reload_and_a_restarted_daemon_change_nothing(node: Node) -> None:
    pid = node.controller.shown("MainPID", "database.service")
    node.machine.run("systemctl", "daemon-reload")
    node.machine.run("systemctl", "daemon-reexec")
    until(node.guarded)
    daemon = node.controller.shown("MainPID")
    node.machine.run("systemctl", "restart", "hactl.service")
    until(lambda: node.controller.shown("MainPID") not in ("0", daemon) and node.state() == "running")
    assert node.controller.shown("MainPID", "database.service") == pid
    assert node.guarded()
    assert node.there("/run/hactl/resources/owned/database.service")


def test_a_drop_in_that_is_removed_comes_back_and_one_of_no_resource_goes(node: Node) -> None:
    node.machine.run("rm", DROP_IN)
    node.controller.write("/run/systemd/system/other.service.d/zz-hactl.conf", "[Unit]\nAssertPathExists=/x\n")
    node.machine.run("systemctl", "daemon-reload")
    assert not node.guarded()
    until(lambda: node.there(DROP_IN) and node.guarded())
    until(lambda: not node.there("/run/systemd/system/other.service.d"))


def test_a_unit_that_leaves_the_configuration_is_systemds_again(node: Node) -> None:
    node.machine.unit("web2.service", "[Service]\nExecStart=/bin/sleep 410000\n")
    said = node.apply(cluster("web2.service"))
    assert "in use" in said, said
    until(lambda: not node.there(str(Path(DROP_IN).parent)) and not node.guarded())
    until(lambda: node.active("web2.service") == "active" and node.active() == "inactive")
    assert "refused" in node.machine.run("systemctl", "start", "database.service"), "by its own file, as before"


def test_a_unit_of_another_nodes_group_is_nothing_to_this_one(node: Node) -> None:
    assert not node.guarded("web.service")
    assert node.machine.run("systemctl", "start", "web.service") == ""
    node.machine.run("systemctl", "stop", "web.service")


def test_the_guard_takes_the_right_to_start_away(node: Node) -> None:
    """The daemon is frozen; the guard stops the unit, and nothing starts it after that."""
    node.controller.write("/run/systemd/system/hactl.service.d/late.conf", "[Service]\nRestartSec=600\n")
    node.machine.run("systemctl", "daemon-reload")
    try:
        node.machine.run("systemctl", "kill", "--kill-who=main", "--signal=STOP", "hactl.service")
        until(lambda: node.active() in ("inactive", "failed"))
        until(lambda: not node.there("/run/hactl/resources/owned/database.service"))
        assert "ssertion failed" in node.machine.run("systemctl", "start", "database.service")
        log = [json.loads(line) for line in node.read("/run/hactl/guard.log").splitlines()]
        assert not [line for line in log if line["event"] == "self_fence"]
    finally:
        node.machine.run("rm", "/run/systemd/system/hactl.service.d/late.conf")
        node.machine.run("systemctl", "daemon-reload")
        node.machine.run("systemctl", "restart", "hactl.service")
    until(lambda: node.state() == "running")


def test_a_oneshot_service_runs_until_it_is_stopped(node: Node) -> None:
    node.machine.run("rm", "-f", "/var/tmp/once")
    assert node.active("once.service") == "active"
    node.controller.hactl("node", "standby", "n1", "--force")
    until(lambda: node.active("once.service") == "inactive")
    assert node.read("/var/tmp/once") == "undid\n", "its ExecStop= is run by its stop, once"
    node.controller.hactl("node", "online", "n1")
    until(lambda: node.state("job") == "running")
    assert node.read("/var/tmp/once") == "undid\ndid\n"


def test_what_else_starts_it_is_told_with_the_command(node: Node) -> None:
    node.machine.unit("database.socket", "[Socket]\nListenStream=127.0.0.1:7777\n[Install]\nWantedBy=sockets.target\n")
    node.machine.run("systemctl", "enable", "--runtime", "database.socket")
    node.machine.run("systemctl", "enable", "database.service")
    try:
        said = node.controller.hactl("config", "check", "/etc/hactl/cluster.yaml", "--skip-haproxy")
        assert "database.service is enabled" in said and "`systemctl disable database.service`" in said, said
        assert "database.socket, which starts database.service, is enabled" in said, said
        node.machine.run("systemctl", "restart", "hactl.service")
        until(lambda: "systemctl disable database.service" in node.controller.hactl("status"))
    finally:
        node.machine.run("systemctl", "disable", "database.service", "database.socket")
        node.machine.run("rm", "/run/systemd/system/database.socket")
        node.machine.run("systemctl", "daemon-reload")
    node.machine.run("systemctl", "restart", "hactl.service")
    until(lambda: node.state() == "running" and "systemctl disable" not in node.controller.hactl("status"))


def test_two_names_of_one_unit_are_refused(node: Node) -> None:
    node.machine.run("systemctl", "enable", "database.service")  # makes its alias
    try:
        twice = cluster().replace("unit: once.service", "unit: mysql.service")
        node.controller.write("/var/tmp/twice.yaml", twice)
        said = node.controller.hactl("config", "check", "/var/tmp/twice.yaml", "--skip-haproxy")
        assert "mysql.service is database.service, which resource `server` has, too" in said, said
        # A node on which it is an alias, and where nobody checked: the second is refused there.
        node.apply(twice)
        until(lambda: "mysql.service is database.service" in node.controller.hactl("status"))
    finally:
        node.apply(cluster())
        node.machine.run("systemctl", "disable", "database.service")


def test_an_absent_and_a_masked_unit_are_errors_of_this_node(node: Node) -> None:
    node.controller.write("/usr/lib/systemd/system/masked.service", "[Service]\nExecStart=/bin/sleep 420000\n")
    node.machine.run("systemctl", "mask", "--runtime", "masked.service")
    wrong = cluster("no-such.service").replace("unit: once.service", "unit: masked.service")
    node.controller.write("/var/tmp/wrong.yaml", wrong)
    said = node.controller.hactl("config", "check", "/var/tmp/wrong.yaml", "--skip-haproxy")
    assert "there is no unit no-such.service on this node" in said, said
    assert "masked.service is masked: systemctl unmask masked.service" in said, said


def test_the_guard_at_boot_is_below_etc(node: Node) -> None:
    lasting = "/etc/systemd/system/database.service.d/zz-hactl.conf"
    pid = node.controller.shown("MainPID", "database.service")
    node.apply(cluster("database.service, guard_at_boot: true"))
    until(lambda: node.there(lasting) and not node.there(DROP_IN) and node.guarded())
    assert node.there("/etc/systemd/system/database.service.d/override.conf")
    node.apply(cluster())
    until(lambda: node.there(DROP_IN) and not node.there(lasting))
    assert node.controller.shown("MainPID", "database.service") == pid, "not restarted for that"


def test_uninstalling_gives_the_units_back(node: Node) -> None:
    remove = "from hactl.removal.stopping import give_units_back; give_units_back()"
    node.machine.run("systemctl", "stop", "hactl.service")
    assert node.machine.run(sys.executable, "-c", remove) == ""
    assert not node.there(DROP_IN) and not node.guarded()
