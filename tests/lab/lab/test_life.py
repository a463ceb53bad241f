"""A lab comes up whole, and leaves nothing behind whatever happens to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hactl.config.load import load_cluster
from hactl.config.node import load_node
from hactl.lab import cleanup, netns
from hactl.lab.cgroup import Cgroup, base
from hactl.lab.cluster import Lab
from hactl.lab.spec import LabSpec, memory_directory, prefix, state_root
from hactl.lab.system import LabError, wait_until

from .conftest import DAEMON, await_daemons, lab_name, stand_in_spec

pytestmark = [pytest.mark.root, pytest.mark.lab]


def left(name: str) -> list[str]:
    """Everything that is left of a lab: namespaces, groups, processes, directories."""
    remains = [*netns.names(prefix(name)), *Cgroup(base() / name).path.glob("**/*")]
    remains += [
        place for place in (base() / name, state_root() / name, memory_directory(name)) if place and place.exists()
    ]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if name.encode() in (process / "cmdline").read_bytes() and int(process.name) != os.getpid():
                remains.append((process / "cmdline").read_bytes().replace(b"\0", b" "))
        except OSError:
            continue
    return [str(entry) for entry in remains]


def command(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hactl.lab", *words], capture_output=True, text=True, timeout=60, check=check
    )


@pytest.fixture
def short_path() -> Iterator[Path]:
    """tmp_path is too long for unix sockets."""
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)


def test_a_lab_that_is_up_is_refused_again_and_down_leaves_nothing(short_path: Path) -> None:
    name = lab_name("d")
    with Lab(stand_in_spec("d", nodes=1, directory=str(short_path / "l"))) as lab:
        await_daemons(lab)
        watcher = lab.watch().start()
        probe = lab.probe("10.77.0.11:8001").start()
        assert len(left(name)) > 15
        with pytest.raises(LabError, match="already"):
            Lab(stand_in_spec("d")).up()
        assert len(left(name)) > 15  # the refusal harmed nothing
    assert left(name) == []
    assert not (short_path / "l").exists()
    with pytest.raises(LabError, match="was killed"):
        probe.stop()
    assert watcher.problem == ""


def test_a_failed_start_is_reported_with_the_end_of_the_logs() -> None:
    class Failing(Lab):
        def await_etcd(self, deadline_s: float = 0.0) -> str:
            for node in self.nodes.values():
                (node.logs / "etcd.log").write_text("early\n" + "x" * 9999 + "\nthe disk is full\n")
            raise LabError("no leader")

    lab = Failing(stand_in_spec("w", nodes=2))
    with pytest.raises(LabError, match=r"(?s)^no leader\n.*n1/etcd.log: the disk.*n2/etcd.log: the disk") as failure:
        lab.up()
    assert "early" not in str(failure.value)
    assert len(str(failure.value)) < 9999
    assert left(lab.spec.name) == []


def test_hactl_reads_the_files_of_a_lab() -> None:
    with Lab(stand_in_spec("f", nodes=3)) as lab:
        spec = load_cluster(lab.spec.path / "cluster.yaml")
        assert [group.name for group in spec.groups] == ["vip", "service"]
        assert [(node.name, node.address) for node in spec.nodes] == [
            (name, node.address) for name, node in lab.nodes.items()
        ]
        assert spec.group("vip").overlap  # type: ignore[union-attr]
        assert spec.timing.lease_ms == 1250
        assert [(service.name, service.port) for service in spec.services] == [("api-one", 8001), ("api-two", 8002)]
        node = load_node(lab.node("n2").home / "node.toml")
        assert (node.cluster, node.node) == (spec.name, "n2")
        assert node.endpoints[0] == "http://10.77.0.12:2379"
        assert len(node.endpoints) == 3
        assert Path(node.cgroup_root).is_dir()
        assert Path(node.run_dir).is_dir()
        assert len(Path(node.machine_id_file).read_text().strip()) == 32
        assert len(Path(node.boot_id_file).read_text().strip()) == 36
        assert node.self_fence[0] == "command"  # never the machine that the lab is on


def test_an_up_that_fails_leaves_nothing() -> None:
    name = lab_name("x")
    spec = LabSpec(name=name, nodes=1, profile="fast", daemon=DAEMON, init=(("sh", "-c", "echo no good >&2; exit 3"),))
    with pytest.raises(LabError, match="exit 3: no good"):
        Lab(spec).up()
    assert left(name) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_up_that_is_killed_half_way(number: signal.Signals) -> None:
    name = lab_name("k")
    process = subprocess.Popen(
        [sys.executable, "-m", "hactl.lab", "up", "--no-daemon", "--name", name], stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: netns.exists(f"{prefix(name)}n1"), deadline_s=15, goal="the first node is there")
        process.send_signal(number)
        process.wait(30)
        if number == signal.SIGKILL:  # it could do nothing: its remains are found by its name
            assert left(name)
            assert name in cleanup.labs()
            assert command("down", "--name", name).stdout == f"down: {name}\n"
        assert left(name) == []
    finally:
        process.kill()
        process.wait()
        cleanup.remove(name)


def test_the_commands_show_the_state_and_problems() -> None:
    name = lab_name("c")
    try:
        shown = command("up", "--no-daemon", "--nodes", "1", "--profile", "fast", "--name", name).stdout
        assert "n1    on     leader" in shown
        assert "cut: n1 -> client" in command("partition", "n1", "client", "--name", name).stdout
        assert "cut: client -> n1" in command("status", "--name", name).stdout
        command("heal", "--name", name)
        command("freeze", "n1", "--name", name)
        assert "frozen" in command("status", "--name", name).stdout
        command("thaw", "n1", "--name", name)
        assert '"failed": 0' in command("probe", "10.77.0.11:8001", "--seconds", "0.3", "--name", name).stdout
        command("kill", "n1", "--name", name)
        assert "off" in command("status", "--name", name).stdout
        refused = command("freeze", "n1", "--name", name, check=False)
        assert (refused.returncode, refused.stderr) == (2, "error: n1 has no power: hactl lab start n1\n")
        command("start", "n1", "--name", name)
        assert "on" in command("status", "--name", name).stdout
    finally:
        command("down", "--name", name, check=False)
    assert left(name) == []
    gone = command("status", "--name", name, check=False)
    assert gone.returncode == 2
    assert f"no lab '{name}' is up: hactl lab up --name {name}" in gone.stderr
    assert command("up", "--name", "Not-Good", check=False).returncode == 2
