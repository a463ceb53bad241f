"""deploy/systemd/hactl-http.service on a real systemd: it serves the metrics that the daemon publishes, and may do
nothing else."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from controller import NODE, ROOT, Controller, booted
from nspawn import until

CLUSTER = """cluster: units
nodes: [{name: n1, address: 127.0.0.1}]
groups: []
"""
# Of this machine, where a user that is not root finds it, too.
PYTHON, LIBRARIES, SOURCE = "/opt/python", "/opt/libraries", "/opt/source"
FETCH = """
import json, sys, urllib.error, urllib.request
try:
    with urllib.request.urlopen("http://127.0.0.1:9664" + sys.argv[1], timeout=5) as response:
        print(json.dumps([response.status, response.read().decode()]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode()]))
except OSError as error:
    print(json.dumps([0, str(error)]))
"""


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    more = [f"{sys.base_prefix}:{PYTHON}", f"{libraries}:{LIBRARIES}", f"{ROOT}:{SOURCE}"]
    with booted(tmp_path_factory.mktemp("http") / "console", CLUSTER, more) as booted_controller:
        booted_controller.write(
            "/etc/hactl/node.toml", NODE.replace('metrics_listen = ""', 'metrics_listen = "node:9664"')
        )
        Path(f"{booted_controller.machine.root}/etc/hactl/node.toml").chmod(0o600)
        said = booted_controller.machine.run("systemd-sysusers", str(ROOT / "deploy/sysusers.d/hactl.conf"))
        assert "hactl-http" in said or said == "", said
        text = (ROOT / "deploy/systemd/hactl-http.service").read_text()
        python = f"{PYTHON}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
        text = text.replace("/opt/hactl/bin/python -I", python)
        environment = f"Environment=PYTHONHOME={PYTHON} PYTHONPATH={SOURCE}:{LIBRARIES} LD_LIBRARY_PATH={PYTHON}/lib\n"
        booted_controller.machine.unit("hactl-http.service", text.replace("User=", f"{environment}User=", 1))
        yield booted_controller


def fetch(controller: Controller, path: str) -> tuple[int, str]:
    status, text = json.loads(controller.machine.run(sys.executable, "-c", FETCH, path))
    return status, text


def test_it_serves_and_may_do_nothing_else(controller: Controller) -> None:
    assert controller.machine.run("systemctl", "start", "hactl.service") == ""  # which wants the other one
    until(lambda: fetch(controller, "/healthz")[0] == 200)
    status, text = fetch(controller, "/metrics")
    assert status == 200 and "hactl_up 1" in text and "hactl_lease_remaining_seconds" in text
    pid = controller.shown("MainPID", "hactl-http.service")
    about = controller.machine.run("cat", f"/proc/{pid}/status")
    fields = dict(re.findall(r"^(\w+):\s+(.*)$", about, re.MULTILINE))
    assert fields["Uid"].split()[1] == controller.machine.run("id", "-u", "hactl-http").strip() != "0"
    assert (int(fields["CapEff"], 16), int(fields["CapBnd"], 16)) == (0, 0)
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert int(fields["VmRSS"].split()[0]) < 45 * 1024
    listening = controller.machine.run("cat", "/proc/net/tcp")
    assert f":{9664:04X} " in listening
    assert controller.machine.run("stat", "-c", "%a %U:%G", "/run/hactl/publish.sock").strip() == "660 root:hactl-http"
    for name, group in (("hactl.sock", "hactl"), ("read.sock", "hactl-read")):
        mode = controller.machine.run("stat", "-c", "%a %U:%G", f"/run/hactl/{name}").strip()
        assert mode == f"660 root:{group}"


def test_it_comes_back_and_says_that_the_daemon_is_away(controller: Controller) -> None:
    before = controller.shown("MainPID", "hactl-http.service")
    controller.machine.run("systemctl", "kill", "--signal=KILL", "hactl-http.service")
    until(lambda: controller.shown("MainPID", "hactl-http.service") not in ("0", before))
    until(lambda: fetch(controller, "/readyz")[0] == 200)
    controller.machine.run("systemctl", "stop", "hactl.service")
    until(lambda: fetch(controller, "/healthz")[0] == 503)
    assert "hactl_up 0" in fetch(controller, "/metrics")[1]
