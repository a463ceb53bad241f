"""The active/passive service's traces, by real processes; and the probe's verdict on an answer."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hactl.lab.probe import judge
from hactl.lab.system import wait_until
from hactl.lab.traces import epochs_grow, find_overlaps, read_runs
from tests.support.ports import free_port

Start = Callable[[str, int], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[bytes]] = []

    def start_service(node: str, epoch: int) -> subprocess.Popen[bytes]:
        port = free_port()
        command = [sys.executable, "-m", "hactl.lab.service", "--trace", str(tmp_path)]
        before = len(read_runs(tmp_path))
        process = subprocess.Popen(
            [*command, "--listen", f"127.0.0.1:{port}"],
            env={**os.environ, "HACTL_NODE": node, "HACTL_EPOCH": str(epoch)},
        )
        running.append(process)
        wait_until(lambda: len(read_runs(tmp_path)) > before, deadline_s=15, goal="the service leaves a trace")

        def answer() -> bytes:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            try:
                connection.request("GET", "/")
                return connection.getresponse().read()
            except OSError:
                return b""
            finally:
                connection.close()

        body = wait_until(answer, deadline_s=15, goal="the service answers")
        assert json.loads(body) == {"node": node, "epoch": str(epoch)}
        return process

    yield start_service
    for process in running:
        process.kill()
        process.wait()


def test_runs_one_after_another_do_not_overlap(start: Start, tmp_path: Path) -> None:
    first = start("n1", 1)
    first.terminate()
    assert first.wait(10) == 0
    second = start("n2", 2)
    second.kill()
    second.wait()
    start("n1", 3)
    assert [(run.node, run.epoch) for run in read_runs(tmp_path)] == [("n1", 1), ("n2", 2), ("n1", 3)]
    assert find_overlaps(tmp_path) == []
    assert epochs_grow(tmp_path)


def test_runs_at_one_time_overlap(start: Start, tmp_path: Path) -> None:
    start("n1", 7)
    start("n2", 6)
    wait_until(lambda: find_overlaps(tmp_path), deadline_s=10, goal="the overlap is found")
    (overlap,) = find_overlaps(tmp_path)
    assert (overlap.first.node, overlap.second.node) == ("n1", "n2")
    wait_until(lambda: find_overlaps(tmp_path)[0].ms > 20, deadline_s=10, goal="it lasts")
    assert not epochs_grow(tmp_path)


def test_a_last_line_cut_short_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "n1-1-1.trace").write_text("10.0 start node=n1 epoch=4 pid=1\n15.0 alive\n2")
    (run,) = read_runs(tmp_path)
    assert (run.node, run.epoch, run.begin_ms, run.end_ms) == ("n1", 4, 10.0, 15.0)


@pytest.mark.parametrize(
    ("answer", "ended", "verdict"),
    [
        (b"", False, None),
        (b"", True, ("", "closed without an answer")),
        (b"HTTP/1.1 200 OK\r\n", True, ("", "closed without an answer")),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"node": "n1"', False, None),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"node": "n1"', True, ("", "answer cut short")),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{"node": "n1"}', False, ("n1", "")),
        (b'HTTP/1.1 200 OK\r\n\r\n{"node":"n2"}', False, None),
        (b'HTTP/1.1 200 OK\r\n\r\n{"node":"n2"}', True, ("n2", "")),
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\n<html>", True, ("", "status 503")),
    ],
)
def test_good_and_bad_answers(answer: bytes, ended: bool, verdict: tuple[str, str] | None) -> None:
    assert judge(answer, ended) == verdict
