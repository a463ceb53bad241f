"""`hactl init` on etcds as operators have set them up: separate ones, with an endpoint that is away, too small."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Run
from tests.support.etcd import EtcdCluster, as_debian_sets_it_up
from tests.support.scene import CLUSTER
from tests.support.waiting import until


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HACTL_CONFIG", str(tmp_path / "node.toml"))
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    return tmp_path


def write_node(directory: Path, endpoints: Sequence[str]) -> None:
    named = ", ".join(f'"http://{endpoint}"' for endpoint in endpoints)
    text = f'cluster = "demo"\nnode = "n2"\nendpoints = [{named}]\nrun_dir = "{directory}"\n'
    (directory / "node.toml").write_text(f'{text}state_dir = "{directory}"\nmetrics_listen = ""\n')


def test_three_separate_etcds(hactl: Run, written: Path) -> None:
    cluster = EtcdCluster(3)
    cluster.members = [as_debian_sets_it_up(cluster.directory, number) for number in (1, 2, 3)]
    with cluster:
        write_node(written, cluster.endpoints)
        status, _, err = hactl("init", written / "cluster.yaml")
        assert status == 1 and "say that they are one member (8e9e05c52164694d): either etcds that were set up" in err
        # A node that names one of them alone sees that it is too small.
        write_node(written, cluster.endpoints[:1])
        status, out, err = hactl("init", written / "cluster.yaml")
        assert status == 0 and "cluster demo begun" in out
        assert "warning: etcd has 1 member for 3 nodes: when it stops, no node can hold anything" in err
        status, out, _ = hactl("status")
        assert status == 0 and "WARNING  etcd has 1 member for 3 nodes" in out and "nothing is wrong" not in out


def test_an_endpoint_that_does_not_answer(hactl: Run, written: Path) -> None:
    with EtcdCluster(3) as cluster:
        write_node(written, cluster.endpoints)
        cluster.members[2].stop()
        until(lambda: cluster.leader() is not cluster.members[2], "the others have a leader")
        status, _, err = hactl("init", written / "cluster.yaml")
        assert status == 1 and "2 of 3 members answer" in err and "`--accept-etcd`" in err
        status, out, err = hactl("init", "--accept-etcd", written / "cluster.yaml")
        assert status == 0 and "cluster demo begun" in out and "warning: etcd's endpoint" in err
