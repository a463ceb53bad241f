"""`make demo` itself: it ends well, writes the figures, and leaves nothing behind, also when it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hactl.lab import cleanup
from hactl.lab.spec import state_root

from .conftest import lab_name

pytestmark = [pytest.mark.root, pytest.mark.lab]


def demo(name: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "hactl.lab.demo", "--name", name, *more]


def test_all_of_it(tmp_path: Path) -> None:
    name, figures = lab_name("d"), tmp_path / "figures.json"
    done = subprocess.run(demo(name, "--json", str(figures)), capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    measured = json.loads(figures.read_text())
    assert measured["ok"] and measured["seconds"] < 100
    assert measured["power_cut"]["client"]["vip"]["outage_ms"] > 1000
    assert measured["move_vip"]["from_node"] == measured["power_cut"]["to"]
    assert f"{measured['power_cut']['node']} is back" in done.stdout
    assert name not in cleanup.labs()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(number: signal.Signals) -> None:
    name = lab_name("i")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = subprocess.Popen(demo(name), **pipes, text=True, start_new_session=True)
    try:
        assert running.stdout is not None and running.stderr is not None
        next(line for line in running.stdout if "loses power" in line)
        os.killpg(running.pid, number)  # to all of it, as a terminal does
        next(line for line in running.stderr if "taking the lab down" in line)
        end = time.monotonic() + 60
        while running.poll() is None and time.monotonic() < end:  # the user is in a hurry
            running.send_signal(number)
            time.sleep(0.05)
        assert running.returncode == 128 + number
        assert name not in cleanup.labs()
        assert not (state_root() / name).exists()
    finally:
        running.kill()
        running.wait()
        cleanup.remove(name)


def test_a_lab_of_that_name_is_left_alone(tmp_path: Path) -> None:
    name = lab_name("n")
    entry = state_root() / name
    entry.mkdir(parents=True)
    try:
        done = subprocess.run(demo(name), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert f"there is a lab '{name}' already: hactl lab down --name {name}" in done.stderr
        assert entry.exists()
    finally:
        cleanup.remove(name)
