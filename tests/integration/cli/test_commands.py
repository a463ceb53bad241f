"""The commands: by the daemon's socket, and by etcd itself where there is no daemon; their exit statuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from election.records import GENERATION_BITS
from hactl.admin import event_log
from hactl.cli import failover
from hactl.config.node import NodeConfig
from tests.integration.cli.conftest import Run
from tests.support.scene import KEYS, Scene
from tests.support.stand_in import serving
from tests.support.waiting import until

# --- looking ----------------------------------------------------------------------------------------------------


def test_status(hactl: Run, scene: Scene, either: str) -> None:
    status, out, err = hactl("status")
    assert status == 0 and "vip       running  n1" in out
    # The test's etcd has one member, and a command that asks it without a daemon sees that.
    assert out.startswith("ok" if either == "daemon" else "WARNING  etcd has 1 member for 3 nodes")
    assert ("asking etcd" in err) == (either == "etcd")
    document = json.loads(hactl("status", "--json")[1])
    assert (document["version"], document["source"]) == (1, either)
    assert hactl("status", "--config", os.environ["HACTL_CONFIG"])[1] == out


def test_status_at_night_imports_nothing_that_takes_long(scene: Scene, config: NodeConfig) -> None:
    script = "import atexit, sys; sys.argv = ['hactl', 'status']; atexit.register(lambda: print(*sys.modules))\n"
    script += "from hactl.cli.main import run; run()"
    with serving(scene, config):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.startswith("ok"), done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded & {"typer", "rich", "pydantic", "etcd3", "grpc", "asyncio", "http.client", "structlog"} == set()


def test_the_log_of_the_etcd_backend_is_no_part_of_the_answer(hactl: Run, config: NodeConfig, tmp_path: Path) -> None:
    (tmp_path / "last-known.json").write_text("garbage")
    (tmp_path / "node.toml").write_text(
        f'cluster = "demo"\nendpoints = ["http://127.0.0.1:1"]\nrun_dir = "{tmp_path}"\nstate_dir = "{tmp_path}"\n'
    )
    status, out, err = hactl("status", "--json", "--config", tmp_path / "node.toml")
    assert (status, out) == (1, "") and "127.0.0.1:1 cannot be reached" in err and "last_known" not in err


def test_status_watch_shows_changes_once(scene: Scene, config: NodeConfig) -> None:
    command = [sys.executable, "-m", "hactl.cli.main", "status", "--watch", "--json"]
    with serving(scene, config), subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        try:
            assert watching.stdout is not None
            first = json.loads(watching.stdout.readline())
            scene.put(KEYS.standby("n3"), "anna")
            second = json.loads(watching.stdout.readline())
        finally:
            watching.kill()
    assert [document["nodes"][2]["state"] for document in (first, second)] == ["online", "standby"]


def test_events_and_timeline(hactl: Run, scene: Scene, either: str) -> None:
    assert hactl("timeline")[1] == "no takeover is known\n"
    event_log.note(scene.store, KEYS, "n1", "resource_failed", {"group": "vip", "reason": "gone away"})
    marks = {"silent": 0.0, "over": 3850.0, "running": 3900.0}
    entry = {"group": "vip", "from": "n1", "to": "n2", "reason": "node_lost", "phases": {"total": 3900.0}}
    event_log.note(scene.store, KEYS, "n2", "failover", {**entry, "marks": marks})
    status, out, _ = hactl("events", "-n", "2")
    assert status == 0
    assert [line.split("  ", 1)[1] for line in out.splitlines()] == [
        "n1        resource_failed  group=vip  reason=gone away",
        "n2        failover  vip: n1 -> n2, node_lost, 3.9 s",
    ]
    assert json.loads(hactl("events", "-n", "1", "--json")[1])["event"] == "failover"
    status, out, _ = hactl("timeline", "vip")
    assert status == 0 and "vip    n1 -> n2  node_lost  3.9 s  silent 0, over 3850, running 3900" in out
    assert hactl("timeline", "database")[1] == "no takeover of database is known\n"


@pytest.mark.parametrize("with_daemon", [True, False])
def test_events_follow(scene: Scene, config: NodeConfig, with_daemon: bool) -> None:
    event_log.note(scene.store, KEYS, "n1", "before", {})
    command = [sys.executable, "-m", "hactl.cli.main", "events", "-f", "-n", "1", "--json"]

    def follow() -> None:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE) as following:
            try:
                assert following.stdout is not None
                assert json.loads(following.stdout.readline())["event"] == "before"
                event_log.note(scene.store, KEYS, "n1", "after", {})
                assert json.loads(following.stdout.readline())["event"] == "after"
                behind = event_log.new_entry("n3", 1, time.time() - 60, "of a clock that is behind", {})
                event_log.write(scene.store, KEYS, [behind])
                assert json.loads(following.stdout.readline())["node"] == "n3"
            finally:
                following.kill()

    if with_daemon:
        with serving(scene, config):
            follow()
    else:
        follow()


def test_events_go_on_when_the_daemon_is_restarted(scene: Scene, config: NodeConfig) -> None:
    command = [sys.executable, "-m", "hactl.cli.main", "events", "-f", "-n", "1", "--json"]
    for name in ("old", "before"):
        event_log.note(scene.store, KEYS, "n1", name, {})
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE) as following:
        assert following.stdout is not None
        try:
            with serving(scene, config):
                assert json.loads(following.stdout.readline())["event"] == "before"
            for name in ("while", "gone"):
                event_log.note(scene.store, KEYS, "n1", name, {})
            assert [json.loads(following.stdout.readline())["event"] for _ in range(2)] == ["while", "gone"]
        finally:
            following.kill()


# --- moving -----------------------------------------------------------------------------------------------------


class Mover:
    """Acts on a request as the daemons do, a step at a time; ends at the end of the block."""

    def __init__(self, scene: Scene, steps: Callable[[Scene], None]) -> None:
        self._thread = threading.Thread(target=self._run, args=(scene, steps))

    def _run(self, scene: Scene, steps: Callable[[Scene], None]) -> None:
        until(lambda: scene.move("vip"), "the request is written")
        steps(scene)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()


def to_n3(scene: Scene) -> None:
    """With pauses that are long for the command's looks, so that every phase is seen."""
    pause = 0.4
    time.sleep(pause)
    scene.own("vip", "n1", phase="stopping")
    time.sleep(pause)
    scene.own("vip", "n3", state="handoff", epoch=9)
    scene.delete(KEYS.move("vip"))
    time.sleep(pause)
    scene.own("vip", "n3", epoch=9, phase="starting", holders=(scene.holder("n1"),))
    time.sleep(pause)
    scene.own("vip", "n3", epoch=9, holders=(scene.holder("n1"),))
    time.sleep(pause)
    scene.own("vip", "n3", epoch=9)


def test_failover_shows_its_phases(hactl: Run, scene: Scene, either: str) -> None:
    with Mover(scene, to_n3):
        status, out, _ = hactl("failover", "vip", "--to", "n3")
    assert status == 0
    head, *lines = out.splitlines()
    assert head == "vip: from n1 to n3"
    assert [re.sub(r"^ *\d+ ms  ", "", line) for line in lines] == [
        "request written", "stopping on n1", "handed over to n3", "starting on n3", "running on n3; n1 lets go",
        "running on n3",
    ]  # fmt: skip
    times = [int(line.split()[0]) for line in lines]
    assert times == sorted(times)


def test_failover_that_is_refused_by_the_owner(hactl: Run, scene: Scene, either: str) -> None:
    with Mover(scene, lambda scene: scene.delete(KEYS.move("vip"))):
        status, _, err = hactl("failover", "vip")
    assert status == 1 and "the move was refused: vip stays on n1" in err


def test_failover_that_takes_too_long_is_taken_back(hactl: Run, scene: Scene, either: str) -> None:
    status, _, err = hactl("failover", "vip", "--to", "n3", "--timeout", "0.7")
    assert status == 3 and "not in time: vip is running on n1; the request was withdrawn" in err
    assert scene.move("vip") is None


def test_failover_that_has_begun_cannot_be_taken_back(hactl: Run, scene: Scene, either: str) -> None:
    def begin(scene: Scene) -> None:
        scene.own("vip", "n3", state="handoff", epoch=9)
        scene.delete(KEYS.move("vip"))

    with Mover(scene, begin):
        status, out, err = hactl("failover", "vip", "--to", "n3", "--timeout", "1.5")
    assert status == 3 and "handed over to n3" in out and "it had begun and may yet come to its end" in err


def test_failover_interrupted_is_taken_back(
    hactl: Run, scene: Scene, config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(failover.Watched, "_phase", interrupt)
    with serving(scene, config):
        assert hactl("failover", "vip")[0] == 130
    assert scene.move("vip") is None


def test_failover_no_wait(hactl: Run, scene: Scene, either: str) -> None:
    status, out, _ = hactl("failover", "vip", "--no-wait")
    assert status == 0 and "to the best other node" in out
    assert scene.move("vip") is not None


@pytest.mark.parametrize(
    ("words", "status", "problem"),
    [
        (("failover", "vip", "--to", "n1"), 1, "group vip is on n1 already"),
        (("failover", "vpi"), 2, "no group `vpi`; did you mean `vip`?"),
        (("failover", "vip", "--to", "n9"), 2, "no node `n9`"),
        (("node", "standby", "n9"), 2, "no node `n9`"),
        (("node", "online", "n9"), 2, "no node `n9`"),
        (("fence", "confirm", "n1", "--yes"), 1, "n1 is alive"),
        (("fence", "confirm", "n1"), 2, "give --yes"),
    ],
)
def test_refused_commands(
    hactl: Run, scene: Scene, either: str, words: tuple[str, ...], status: int, problem: str
) -> None:
    code, _, err = hactl(*words)
    assert code == status and problem in err


# --- nodes ------------------------------------------------------------------------------------------------------


def test_standby_and_online(hactl: Run, scene: Scene, either: str) -> None:
    status, out, _ = hactl("node", "standby", "n1", "--drain-timeout", "0s", "--no-wait")
    assert status == 0 and "leaving it now: vip" in out and not scene.view.drains
    assert re.fullmatch(r".+@n2", scene.view.standby["n1"].record)
    until(lambda: "standby" in hactl("status")[1], "it is seen")
    assert hactl("node", "standby", "n2")[0] == 1
    assert hactl("node", "standby", "n2", "--force", "--drain-timeout", "0s", "--no-wait")[0] == 0
    until(lambda: hactl("node", "online", "n1")[0] == 0, "it is seen")
    assert set(scene.view.standby) == {"n2"}
    assert hactl("node", "online", "n1")[:2] == (
        0,
        "n1 was in use: it was neither in standby nor drained, and nothing had failed there\n",
    )
    until(
        lambda: [entry.event for entry in event_log.read(scene.store, KEYS, 1)[0]] == ["asked_online"],
        "the history has it",
    )


def test_a_node_is_shown(hactl: Run, scene: Scene, either: str) -> None:
    status, out, _ = hactl("node", "show", "n1")
    assert status == 0 and out.startswith("node n1\n")
    assert [line.split(None, 1) for line in out.splitlines() if "runs" in line] == [["runs", "vip"]]
    status, out, _ = hactl("node", "show", "n2", "--json")
    shown = json.loads(out)
    assert (shown["name"], shown["runs"], shown["checks"]) == ("n2", ["database"], [])
    status, _, err = hactl("node", "show", "n9")
    assert status == 2 and "no node `n9` (nodes: n1, n2, n3)" in err


def test_confirm_waits_until_the_lease_is_over(hactl: Run, scene: Scene, either: str) -> None:
    began = time.monotonic()
    scene.kill("n1", lease_ms=1500)
    until(lambda: "fence pending" in hactl("status")[1], "it is seen")
    status, out, _ = hactl("fence", "confirm", "n1", "--yes")
    assert status == 0 and "session s-n1 is taken to be stopped" in out
    assert time.monotonic() - began >= 1.5
    assert scene.view.fences["n1"].record.evidence == "confirmed"


def test_an_epoch_is_shown_with_its_generation(hactl: Run, scene: Scene, either: str) -> None:
    scene.own("vip", "n1", epoch=(2 << GENERATION_BITS) + 40)
    until(lambda: "vip       running  n1     2.40" in hactl("status")[1], "it is shown")


# --- the rest ---------------------------------------------------------------------------------------------------


def test_version_and_help(hactl: Run) -> None:
    assert hactl("--version")[1].startswith("hactl ")
    status, out, _ = hactl("--help")
    assert status == 0 and "failover" in out and "fence" in out
    assert "partition" in hactl("lab", "--help")[1]


def test_the_page_is_up_to_date() -> None:
    from tools.docs import cli

    page = Path(__file__).parents[3] / cli.PAGE
    assert page.read_text(encoding="utf-8") == cli.page(), "run `python -m tools.docs.cli`"
