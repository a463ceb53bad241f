"""Commands that wait, by the daemon's socket and by etcd itself; what would hurt is asked."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from hactl.config.node import NodeConfig
from tests.integration.cli.conftest import Run
from tests.support.scene import KEYS, Scene
from tests.support.waiting import until


@contextmanager
def beside(act: Callable[[], object]) -> Iterator[None]:
    thread = threading.Thread(target=act)
    thread.start()
    yield
    thread.join(20)
    assert not thread.is_alive()


class Terminal(io.StringIO):
    """A terminal at which this is typed."""

    def isatty(self) -> bool:
        return True


def test_wait_for_what_is_so(hactl: Run, scene: Scene, either: str) -> None:
    status, out, _ = hactl("wait", "settled", "vip=running", "vip@n1", "n3=online")
    assert status == 0 and out.startswith("settled, vip=running, vip@n1, n3=online: after 0.")


def test_wait_until_it_is_so(hactl: Run, scene: Scene, either: str) -> None:
    scene.own("vip", "n1", phase="starting")

    def start() -> None:
        time.sleep(0.7)
        scene.own("vip", "n1", epoch=8)

    until(lambda: "starting" in hactl("status")[1], "it is seen")
    began = time.monotonic()
    with beside(start):
        assert hactl("wait", "vip=running", "--for", "15s")[0] == 0
    assert time.monotonic() - began < 10


def test_wait_in_vain(hactl: Run, scene: Scene, either: str) -> None:
    began = time.monotonic()
    status, out, err = hactl("wait", "vip@n3", "n3=online", "database=stopped", "--for", "0.6s")
    assert (status, out) == (3, "") and time.monotonic() - began >= 0.6
    assert "error: not in time: vip runs on n1; database is running on n2" in err and "n3 is" not in err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("vip=up",), "`vip=up` is no condition; there are: settled"),
        (("web=running",), "no group `web`; there are: vip, database"),
        (("settled", "n9=online"), "no node `n9`; there are: n1, n2, n3"),
        (("settled", "--for", "soon"), "`soon` is no duration"),
        ((), "Missing argument"),
    ],
)
def test_wait_for_what_cannot_be(hactl: Run, scene: Scene, either: str, words: tuple[str, ...], problem: str) -> None:
    status, _, err = hactl("wait", *words)
    assert status == 2 and problem in err


def test_standby_returns_when_the_groups_have_left(hactl: Run, scene: Scene, either: str) -> None:
    left = []

    def leave() -> None:
        until(lambda: scene.view.standby, "it is asked for")
        scene.own("vip", "n1", phase="stopping")
        time.sleep(0.7)
        left.append(time.monotonic())
        scene.own("vip", "n3", epoch=9)

    with beside(leave):
        status, out, _ = hactl("node", "standby", "n1", "--drain-timeout", "0s")
        assert left and time.monotonic() >= left[0]
    assert status == 0
    assert out.splitlines()[0] == "n1 is in standby; leaving it now: vip"
    assert "ms  vip is stopping on n1" in out and out.endswith("ms  no group is on n1\n")


def test_standby_says_what_stays_and_why(hactl: Run, scene: Scene, either: str) -> None:
    status, _, err = hactl("node", "standby", "n1", "--drain-timeout", "0s", "--timeout", "0.7s")
    assert status == 3 and set(scene.view.standby) == {"n1"}
    assert "not in time: vip is running on n1. n1 stays in standby; to undo: `hactl node online n1`" in err


def test_what_would_hurt_is_said_and_asked(
    hactl: Run, scene: Scene, either: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.put(KEYS.standby("n1"), "anna")
    until(lambda: "standby" in hactl("status")[1], "it is seen")
    words = ("node", "standby", "n2", "--drain-timeout", "0s", "--no-wait")
    said = "no other node may run database now, so standby would stop it"
    status, _, err = hactl(*words)
    assert status == 1 and said in err and "Nothing was done; `--yes` does it all the same" in err
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    status, _, err = hactl(*words)
    assert status == 1 and said in err and "Do it all the same? [y/N]" in err and "nothing was done" in err
    assert set(scene.view.standby) == {"n1"}
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    status, _, err = hactl(*words)
    assert status == 0 and err.count("[y/N]") == 1
    assert set(scene.view.standby) == {"n1", "n2"}


def test_check(hactl: Run, scene: Scene, either: str) -> None:
    status, out, _ = hactl("status", "--check")
    assert (status, out.startswith("HACTL OK - ")) == ((0, True) if either == "daemon" else (1, False))
    scene.own("vip", "n1", phase="failed")
    until(lambda: hactl("status", "--check")[0] == 2, "it is seen")
    assert hactl("status", "--check", "--config", os.environ["HACTL_CONFIG"])[0] == 2  # past typer and through it


def test_check_that_can_ask_nobody(hactl: Run, config: NodeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HACTL_CONFIG", "/nonexistent/node.toml")
    status, out, _ = hactl("status", "--check")
    assert status == 3 and out.startswith("HACTL UNKNOWN - ") and out.count("\n") == 1
