"""Services that live and do not work: found by probes, restarted, moved, and left in peace when nothing helps."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from .status_document import group_named, has_warning
from .test_resources import pids
from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

PORT = 8099
ADDRESS = "10.77.0.44"
# Answers 200; `/health` answers 503 while there is a file of its node: as often as it says, without a number always.
_SERVER = f"""
import http.server, os, pathlib, sys
sick = pathlib.Path(sys.argv[1], os.environ["HACTL_NODE"])

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ill = self.path == "/health" and sick.exists()
        if ill and (text := sick.read_text()):
            left = int(text) - 1
            sick.write_text(str(left)) if left else sick.unlink()
        self.send_response(503 if ill else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

http.server.ThreadingHTTPServer(("0.0.0.0", {PORT}), Answer).serve_forever()
"""
RHYTHM = {"interval": "1s", "timeout": "1s", "start_delay": "3s"}  # a busy machine takes its time to start Python


def group(cluster: Cluster, name: str, checks: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A group of an address and the server behind it, on n1 and n2."""
    server = {
        "name": "api",
        "exec": {"command": [sys.executable, "-c", _SERVER, str(_sick(cluster))]},
        "stop_timeout": "1s",
        "probes": checks,
    }
    address = {"name": "address", "vip": {"address": f"{ADDRESS}/24", "interface": "eth0"}}
    return {"name": name, "nodes": ["n1", "n2"], "resources": [address, server], **more}


def health(fall: int = 2) -> dict[str, Any]:
    return {"http": {"url": f"http://127.0.0.1:{PORT}/health"}, **RHYTHM, "fall": fall}


def _sick(cluster: Cluster) -> Path:
    directory = cluster.lab.spec.path / "sick"
    directory.mkdir(exist_ok=True)
    return directory


@pytest.fixture
def sick(cluster: Cluster) -> Path:
    """The directory of the files by which a server is ill on its node."""
    directory = _sick(cluster)
    for file in directory.iterdir():
        file.unlink()
    return directory


def test_one_that_lives_and_does_not_work_is_restarted_and_then_moved(cluster: Cluster, sick: Path) -> None:
    cluster.apply(cluster.with_groups(group(cluster, "grey", [health()], restarts=1)))
    cluster.settle("grey", "n1")
    # One bad answer stops nothing.
    (sick / "n1").write_text("1")
    cluster.await_event("n1", "check_not_well", group="grey", times=1, of=2)
    cluster.until(lambda: not (sick / "n1").exists(), "it has answered badly once")
    cluster.await_renewals()
    first = pids(cluster, "n1", "grey")
    assert first
    assert not cluster.events("n1", "resource_failed")
    (sick / "n1").write_text("")
    failed = cluster.await_event("n1", "resource_failed", group="grey", failures=1)
    assert "status 503, not 200" in failed["reason"]
    cluster.until(lambda: set(pids(cluster, "n1", "grey")) - set(first), "it is restarted in place")
    cluster.await_running("grey", ["n2"])
    assert "api failed 2 times: http" in cluster.group("grey").reason
    assert pids(cluster, "n1", "grey") == []
    epoch = cluster.group("grey").epoch
    cluster.await_renewals(20)
    assert (cluster.owner("grey"), cluster.group("grey").epoch) == ("n2", epoch)


@pytest.mark.long
def test_one_that_fails_everywhere_is_held_until_it_is_repaired(cluster: Cluster, sick: Path) -> None:
    restless = {"restarts": 0, "failure_expiry": "1s", "moves_limit": 2, "moves_window": "5m"}
    for node in ("n1", "n2"):
        (sick / node).write_text("")
    cluster.deadline_s = 60.0
    cluster.apply(cluster.with_groups(group(cluster, "restless", [health(fall=1)], **restless)))
    cluster.until(lambda: _held(cluster), "it is held")
    epoch = cluster.group("restless").epoch
    held = cluster.store.view().flapping["restless"].record
    assert (len(held.moves), held.held) == (2, cluster.owner("restless"))
    cluster.until(lambda: has_warning(cluster.status("n3"), "GROUP restless IS HELD ON"), "it is said in capitals")
    cluster.await_renewals(12)  # failures of the other node expire, and it stays
    assert cluster.group("restless").epoch == epoch
    for node in ("n1", "n2"):
        (sick / node).unlink()
    said = cluster.hactl("n3", "group", "cleanup", "restless")
    assert "no longer held" in said
    cluster.await_running("restless", [held.held])
    assert not cluster.store.view().flapping


def _held(cluster: Cluster) -> bool:
    known = cluster.store.view().flapping.get("restless")
    return known is not None and known.record.held != ""


@pytest.mark.long
def test_one_that_only_its_clients_miss_is_restarted(cluster: Cluster, sick: Path) -> None:
    seen = [{"http": {"url": f"http://{ADDRESS}:{PORT}/"}, **RHYTHM}]
    cluster.apply(cluster.with_groups(group(cluster, "seen", [], probes=seen)))
    cluster.settle("seen", "n1")
    cluster.until(lambda: _levels(cluster, "seen") == {"n2": "well", "n3": "well"}, "both others reach it")
    stopped = pids(cluster, "n1", "seen")
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)  # the process is there, its port accepts, and nobody answers
    failed = cluster.await_event("n1", "resource_failed", group="seen")
    assert "n2, n3 cannot reach it: http" in failed["reason"]
    cluster.until(lambda: pids(cluster, "n1", "seen") and not set(pids(cluster, "n1", "seen")) & set(stopped), "anew")
    cluster.until(lambda: _levels(cluster, "seen") == {"n2": "well", "n3": "well"}, "they reach it again")
    assert cluster.owner("seen") == "n1"


@pytest.mark.long
def test_a_probe_that_never_reached_the_group_stops_nothing(cluster: Cluster, sick: Path) -> None:
    cluster.apply(cluster.with_groups(group(cluster, "deaf", [], probes=[{"tcp": {"port": 1}, **RHYTHM, "fall": 1}])))
    cluster.settle("deaf", "n1")
    cluster.until(lambda: _levels(cluster, "deaf") == {"n2": "unreached", "n3": "unreached"}, "neither reaches it")
    cluster.await_renewals(10)
    assert not cluster.events("n1", "resource_failed")
    assert has_warning(cluster.status("n3"), "so its probes do not count")


def _levels(cluster: Cluster, name: str) -> dict[str, str]:
    views = group_named(cluster.status("n3"), name)["client_views"]
    return {node: str(view["level"]) for node, view in views.items()}
