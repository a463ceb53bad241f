"""`hactl cluster rolling-reboot` on daemons, etcd and HAProxy: node by node, through an interruption and a trouble."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hactl.cli.rolling import FILE
from hactl.config.node import load_node
from hactl.lab.spec import PYTHON

from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(400)]


def rolling(cluster: Cluster, *words: str) -> tuple[int, str]:
    """By n2's daemon, but not on n2: this command survives its reboot. Its exit status and all that it says."""
    argv = [*PYTHON, "--config", str(cluster.node("n2").home / "node.toml"), "cluster", "rolling-reboot", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)
    return done.returncode, done.stdout + done.stderr


def plug(cluster: Cluster) -> str:
    """Pulls a node's plug and puts it back: a reboot, as its disk sees it."""
    lab = " ".join([*PYTHON, "lab"])
    name = cluster.lab.spec.name
    return f"{lab} kill {{node}} --name {name} && {lab} start {{node}} --name {name}"


def boots(cluster: Cluster) -> list[int]:
    return [cluster.node(name).boots for name in cluster.nodes]


def test_every_node_is_rebooted_once_and_all_is_well_in_the_end(cluster: Cluster, tmp_path: Path) -> None:
    """Stopped on the way by a trouble, and resumed."""
    cluster.overlap_planned = True
    before, order = boots(cluster), tmp_path / "order"
    trouble = tmp_path / "trouble"
    trouble.touch()
    # The second node's command fails as long as the trouble is there.
    command = f"echo {{node}} >> {order}; [ {{node}} != n3 ] || [ ! -e {trouble} ] || exit 9; {plug(cluster)}"
    status, said = rolling(cluster, "--command", command, "--timeout", "60s", "--drain-timeout", "1s")
    assert status == 1, said
    assert "stopped at n3 (in standby, its command has run; done: n1; left: n2)" in said
    assert "ended with status 9, and n3 does not reboot" in said
    assert [now - then for now, then in zip(boots(cluster), before, strict=True)] == [1, 0, 0]
    status, said = rolling(cluster, "--command", command)
    assert status == 1 and "the last one stopped at n3" in said
    status, said = rolling(cluster, "--only", "n3", "--new")
    assert status == 1 and "not all is well: n3 is standby" in said
    trouble.unlink()
    kept = Path(load_node(cluster.node("n2").home / "node.toml").state_dir, FILE)
    assert kept.exists()
    status, said = rolling(cluster, "--resume")
    assert status == 0, said
    assert "done: n1, n3, n2" in said
    assert order.read_text().split() == ["n1", "n3", "n3", "n2"]
    assert [now - then for now, then in zip(boots(cluster), before, strict=True)] == [1, 1, 1]
    assert not kept.exists()
    assert not cluster.store.view().standby
    cluster.await_all_running()
