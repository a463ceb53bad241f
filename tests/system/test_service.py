"""deploy/systemd/hactl.service on a real systemd: ready, restarted, killed, frozen; its resources outlive the
daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from controller import NODE, Controller, booted
from nspawn import until

CLUSTER = """cluster: units
nodes: [{name: n1, address: 127.0.0.1}]
groups:
  - name: work
    resources:
      - name: sleep
        exec: {command: [/bin/sleep, "100000"]}
  - name: agent
    resources:
      - name: sleep
        stop_timeout: 500ms
        exec:
          start: [/bin/sh, -c, "setsid /bin/sleep 200000 > /dev/null 2>&1 & echo $! > /run/agent"]
          stop: [/bin/sh, -c, "kill $(cat /run/agent);
            while grep -qs State:.[SRD] /proc/$(cat /run/agent)/status; do :; done"]
          monitor: [/bin/sh, -c, "grep -qs State:.[SRD] /proc/$(cat /run/agent)/status || exit 7"]
  - name: limits
    resources:
      - name: supervised
        exec: {command: [/bin/sh, /run/look, /run/supervised]}
      - name: agent
        stop_timeout: 500ms
        exec:
          start: [/bin/sh, /run/look, /run/agent-start, once]
          stop: [rm, -f, /run/agent-start]
          monitor: [/bin/sh, -c, "test -e /run/agent-start || exit 7"]
"""
# The limits, signals, umask and environment that it was started with.
LOOK = """
{ ulimit -a -S; ulimit -a -H | grep -v 'locked memory'; umask; cat /proc/self/oom_score_adj;
  grep Sig[BIC] /proc/self/status; chrt -p $$ | cut -d: -f2;
  env | grep -v -E '^(HACTL_.*|PWD|_|OLDPWD|INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_EXEC_PID|SHLVL)='; } > $1.new
mv $1.new $1
[ "$2" = once ] || exec sleep 300000
"""


def work(controller: Controller) -> list[str]:
    """The exclusive processes: the one supervised, the other left running by an agent's `start`."""
    return controller.pids("/bin/sleep", "100000") + controller.pids("/bin/sleep", "200000")


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    with booted(tmp_path_factory.mktemp("controller") / "console", CLUSTER) as booted_controller:
        booted_controller.write("/run/look", LOOK)
        yield booted_controller


@pytest.fixture
def running(controller: Controller) -> Iterator[Controller]:
    # systemctl returns when the daemon has said that it is ready.
    said = controller.machine.run("systemctl", "start", "hactl.service")
    assert said == "", controller.machine.run("journalctl", "-u", "hactl", "-n", "50")
    until(controller.runs)
    yield controller


def same(controller: Controller, act: Callable[[], object]) -> bool:
    """Whether work and guard are the same processes after `act` and the next daemon's coming up."""
    before, daemon = (work(controller), controller.guard()), controller.shown("MainPID")
    assert [len(pids) for pids in before] == [2, 1]
    act()
    until(lambda: controller.shown("MainPID") not in ("0", daemon) and controller.runs())
    return (work(controller), controller.guard()) == before


def test_restart_stops_nothing(running: Controller) -> None:
    until(lambda: running.shown("StatusText") == "live, 3 groups run here")
    assert same(running, lambda: running.machine.run("systemctl", "restart", "hactl.service"))


def test_a_killed_daemon_is_started_again_and_stops_nothing(running: Controller) -> None:
    assert same(running, lambda: running.machine.run("systemctl", "kill", "--signal=KILL", "hactl.service"))


def test_stopped_and_started_in_time_stops_nothing(running: Controller) -> None:
    def stop_and_start() -> None:
        running.machine.run("systemctl", "stop", "hactl.service")
        running.machine.run("systemctl", "start", "hactl.service")

    assert same(running, stop_and_start)


def test_a_frozen_daemon_is_ended_by_the_guard(running: Controller) -> None:
    """It cannot renew: the guard stops the work and kills the daemon, and systemd starts the next one."""
    assert not same(running, lambda: running.machine.run("systemctl", "kill", "--signal=STOP", "hactl.service"))
    assert len(work(running)) == 2
    assert "guard_stopped_everything" in running.machine.run("journalctl", "-u", "hactl")


def test_without_a_daemon_the_guard_stops_the_work(running: Controller) -> None:
    running.machine.run("systemctl", "stop", "hactl.service")
    assert len(work(running)) == 2
    until(lambda: not work(running))
    assert len(running.guard()) == 1


def test_children_begin_as_a_service_of_their_own_would(running: Controller) -> None:
    # SIGPIPE is as in a shell: commands are often pipes.
    reference_unit = "[Service]\nIgnoreSIGPIPE=no\nExecStart=/bin/sh /run/look /run/reference\n"
    running.machine.unit("reference.service", reference_unit)
    running.machine.run("systemctl", "start", "reference.service")
    places = [Path(f"{running.machine.root}/run/{name}") for name in ("reference", "supervised", "agent-start")]
    until(lambda: all(place.exists() for place in places))
    reference, *children = (place.read_text().splitlines() for place in places)
    assert len(reference) > 20
    for child in children:
        assert child == reference


def test_without_etcd_the_daemon_is_up_says_so_and_waits(running: Controller) -> None:
    running.machine.run("systemctl", "stop", "hactl.service", "etcd.service")
    until(lambda: not work(running))
    try:
        assert running.machine.run("systemctl", "start", "hactl.service") == ""
        daemon = running.shown("MainPID")
        assert running.shown("ActiveState") == "active"
        until(lambda: running.shown("StatusText").startswith("waits for etcd: "))
    finally:
        running.machine.run("systemctl", "start", "etcd.service")
    until(running.runs)
    assert running.shown("MainPID") == daemon


def test_bad_input_is_not_tried_again(running: Controller) -> None:
    running.machine.run("systemctl", "stop", "hactl.service")
    running.write("/etc/hactl/node.toml", "clutser = 'units'\n" + NODE)
    try:
        running.machine.run("systemctl", "start", "hactl.service")
        until(lambda: running.shown("ActiveState") == "failed")
        assert running.shown("ExecMainStatus") == "2"
        assert "clutser: unknown key" in running.machine.run("journalctl", "-u", "hactl", "-n", "20")
    finally:
        running.write("/etc/hactl/node.toml", NODE)
        running.machine.run("systemctl", "reset-failed", "hactl.service")


def test_a_machine_that_goes_down_hands_over(tmp_path: Path) -> None:
    """Though a restart would keep it running."""
    with booted(tmp_path / "console", CLUSTER) as controller:
        controller.write("/run/look", LOOK)
        controller.write(
            "/run/systemd/system/hactl.service.d/log.conf", "[Service]\nStandardError=append:/var/tmp/hactl.log\n"
        )
        controller.machine.run("systemctl", "daemon-reload")
        controller.machine.run("systemctl", "start", "hactl.service")
        until(controller.runs)
        # Open, it can be read when the machine is no more.
        with Path(f"{controller.machine.root}/var/tmp/hactl.log").open() as log:
            controller.machine.run("systemctl", "poweroff")
            said: list[str] = []
            until(lambda: said.extend(log.readlines()) or any("daemon_ends" in line for line in said))
    assert any("asked_to_end" in line and '"release": true' in line for line in said)
    assert any("released everything" in line for line in said)
