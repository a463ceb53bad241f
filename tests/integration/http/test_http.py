"""The serving process, as it is started on a node: a process of its own, with a daemon, without one, with one that
hangs."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hactl.config.node import NodeConfig
from hactl.http import source as source_module
from hactl.http.listeners import addresses
from hactl.model.snapshot import Snapshot, decode, encode
from hactl.serving.limits import Limits
from tests.support.ports import free_port
from tests.support.scene import Scene
from tests.support.stand_in import serving
from tests.support.waiting import until

LARGEST_RSS_KB = 45 * 1024


class Served:
    """A serving process and its answers."""

    def __init__(self, config: NodeConfig, file: Path) -> None:
        self.port = int(config.metrics_listen.rpartition(":")[2])
        command = [sys.executable, "-I", "-m", "hactl.http", "--config", str(file)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
        until(lambda: self.fetch("/readyz")[0], "it serves")

    def fetch(self, path: str, data: bytes | None = None) -> tuple[int, str]:
        """Status and text, 0 without an answer. Within the rate that is allowed."""
        time.sleep(1.5 / Limits().per_second)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", data, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def health(self) -> tuple[int, str]:
        """Status, and the reason."""
        status, text = self.fetch("/healthz")
        return status, json.loads(text)["reason"]

    def value(self, metric: str) -> float:
        """Of a metric without labels."""
        match = re.search(rf"^{metric} (\S+)$", self.fetch("/metrics")[1], re.MULTILINE)
        assert match, metric
        return float(match[1])


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    listen = f"127.0.0.1:{free_port()}"
    return NodeConfig(
        cluster="demo",
        node="n2",
        run_dir=str(tmp_path),
        metrics_listen=listen,
        operate_group="",
        read_group="",
        http_group="",
    )


@pytest.fixture
def served(config: NodeConfig, tmp_path: Path) -> Iterator[Served]:
    file = tmp_path / "node.toml"
    file.write_text(
        f'cluster = "demo"\nnode = "n2"\nrun_dir = "{tmp_path}"\nmetrics_listen = "{config.metrics_listen}"\n'
    )
    served = Served(config, file)
    try:
        yield served
    finally:
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(10) == 0


def test_it_serves_what_the_daemon_publishes(scene: Scene, config: NodeConfig, served: Served) -> None:
    assert served.health()[0] == 503
    with serving(scene, config) as daemon:
        until(lambda: served.health() == (200, ""), "the daemon's word is served")
        status, text = served.fetch("/metrics")
        assert status == 200 and 'hactl_group_info{group="vip",owner="n1",state="owned"} 1.0' in text
        assert (served.value("hactl_up"), served.value("hactl_http_connections")) == (1, 1)
        assert served.value("hactl_snapshot_age_seconds") < 5
        daemon.state.session.valid_until = daemon.now().plus(-1)
        until(lambda: served.health() == (503, "this node's lease is over"), "the lease is over")
        daemon.state.phase = "stopping"
        until(lambda: served.health() == (503, "the daemon is stopping"), "the phase")
        daemon.state.refused = "another machine has this name"
        until(lambda: served.health() == (503, "another machine has this name"), "the reason")
    until(lambda: served.value("hactl_up") == 0, "it is gone")
    status, text = served.fetch("/metrics")
    assert status == 200 and "hactl_group_info" not in text
    assert re.match(
        r"the daemon does not answer: .*publish.sock: No such file.*; last heard of \d+ s ago", served.health()[1]
    )
    with serving(scene, config):
        until(lambda: served.value("hactl_up") == 1, "another daemon is there")


def test_a_lease_that_ends_is_seen_without_the_daemon(scene: Scene, config: NodeConfig, served: Served) -> None:
    """The last answer says when the lease ends: no newer one is needed to know that it has ended."""
    with serving(scene, config) as daemon:
        daemon.state.session.valid_until = daemon.now().plus(1500)
        until(lambda: served.health() == (200, ""), "live")
        until(lambda: served.health() == (503, "this node's lease is over"), "over")


def test_a_daemon_that_hangs_is_not_waited_for(config: NodeConfig, served: Served) -> None:
    with socket.socket(socket.AF_UNIX) as frozen:
        frozen.bind(config.publish_socket)
        frozen.listen(4)
        until(lambda: "does not answer within" in served.health()[1], "it hangs")
        began = time.monotonic()
        for _ in range(10):
            assert served.fetch("/metrics")[0] == 200
        assert served.value("hactl_up") == 0
        assert time.monotonic() - began < 10 * source_module.TIMEOUT_S


def test_there_is_nothing_else_and_nothing_can_be_changed(served: Served) -> None:
    assert served.fetch("/v1/status")[0] == served.fetch("/")[0] == 404
    assert served.fetch("/metrics", b"x")[0] == 413
    assert served.fetch("/metrics", b"")[0] == 405
    for garbage in (b"\0" * 100, b"GET\r\n\r\n", b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", served.port), 5) as connection:
            connection.sendall(garbage)
            with contextlib.suppress(ConnectionError):
                assert b" 200 " not in connection.recv(4096)
    assert served.fetch("/readyz")[0] == 503


def test_it_is_small(scene: Scene, config: NodeConfig, served: Served) -> None:
    with serving(scene, config):
        until(lambda: served.value("hactl_up") == 1, "the daemon's word is served")
        [rss] = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{served.process.pid}/status").read_text())
        assert int(rss) < LARGEST_RSS_KB


def test_it_knows_no_etcd_and_starts_nothing() -> None:
    script = "import hactl.http.__main__, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"grpc", "etcd3", "hactl.daemon", "election.store", "hactl.resources", "pydantic"}


def test_where_it_listens() -> None:
    assert addresses("", "10.0.0.1") == ()
    assert addresses("0.0.0.0:9664", "10.0.0.1") == ("0.0.0.0:9664",)
    assert addresses("node:9664", "") == ("127.0.0.1:9664",)
    assert addresses("node:9664", "10.0.0.1") == ("127.0.0.1:9664", "10.0.0.1:9664")
    assert addresses("node:9664", "fd00::1") == ("127.0.0.1:9664", "[fd00::1]:9664")


def test_an_answer_of_another_version_is_understood() -> None:
    about = {
        "version": "9", "node": "n1", "address": "", "phase": "live", "refused": "", "taken": (1.0, 2.0),
        "valid_until": None, "metrics": b"x",
    }  # fmt: skip
    newer = msgspec.msgpack.encode({**about, "page": [1]})
    assert decode(newer) == decode(encode(Snapshot(**about)))  # type: ignore[arg-type]
    for wrong in (b"", newer[:-3], b"\xff" * 9, msgspec.msgpack.encode({**about, "taken": ["x"]})):
        with pytest.raises(ValueError):
            decode(wrong)
