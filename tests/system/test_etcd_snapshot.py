"""deploy/systemd/hactl-etcd-snapshot.service on a real systemd: in its sandbox it can do all that it has to do."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from controller import ROOT, Controller, booted

CLUSTER = """cluster: units
nodes: [{name: n1, address: 127.0.0.1}]
groups: []
"""
# Of this machine, where the sandbox lets them be seen.
PYTHON, LIBRARIES, SOURCE = "/opt/python", "/opt/libraries", "/opt/source"
UNIT = "hactl-etcd-snapshot"


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    more = [f"{sys.base_prefix}:{PYTHON}", f"{libraries}:{LIBRARIES}", f"{ROOT}:{SOURCE}"]
    etcdctl = shutil.which("etcdctl")
    if etcdctl is None:
        pytest.skip("needs etcdctl")
    console = tmp_path_factory.mktemp("snapshot") / "console"
    with booted(console, CLUSTER, [*more, f"{etcdctl}:/usr/bin/etcdctl"]) as booted_controller:
        text = (ROOT / f"deploy/systemd/{UNIT}.service").read_text()
        python = f"{PYTHON}/bin/python{sys.version_info.major}.{sys.version_info.minor} -m hactl.cli.main"
        text = text.replace("/opt/hactl/bin/hactl", python)
        environment = f"Environment=PYTHONHOME={PYTHON} PYTHONPATH={SOURCE}:{LIBRARIES} LD_LIBRARY_PATH={PYTHON}/lib\n"
        booted_controller.machine.unit(f"{UNIT}.service", text.replace("Nice=", f"{environment}Nice=", 1))
        timer = (ROOT / f"deploy/systemd/{UNIT}.timer").read_text()
        booted_controller.machine.unit(f"{UNIT}.timer", timer)
        yield booted_controller


def test_the_timers_unit_makes_a_snapshot(controller: Controller) -> None:
    said = controller.machine.run("systemctl", "start", f"{UNIT}.service")
    log = controller.machine.run("journalctl", "--no-pager", "-u", UNIT)
    assert said == "", log
    (snapshot,) = Path(f"{controller.machine.root}/var/lib/hactl/snapshots").iterdir()
    assert snapshot.name.startswith("units-") and snapshot.stat().st_mode & 0o777 == 0o600
    assert f"{snapshot.name}: " in log and "revision " in log
    controller.machine.run("systemctl", "enable", "--now", f"{UNIT}.timer")
    assert controller.shown("ActiveState", f"{UNIT}.timer") == "active"
    assert controller.shown("NextElapseUSecRealtime", f"{UNIT}.timer") != ""
