"""An etcd, a cluster in it, node.toml, and the command line in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from election.etcd.store import EtcdStore
from election.store import Store
from hactl.config.node import NodeConfig, load_node
from tests.support.etcd import EtcdCluster
from tests.support.scene import CLUSTER, Scene
from tests.support.stand_in import serving
from tests.unit.cli.conftest import Run, hactl


@pytest.fixture(scope="module")
def etcd() -> Iterator[EtcdCluster]:
    with EtcdCluster() as cluster:
        yield cluster


@pytest.fixture
def store(etcd: EtcdCluster) -> Iterator[Store]:
    etcd.ctl("del", "--prefix", "/hactl")
    store = EtcdStore(etcd.endpoints)
    yield store
    store.close()


@pytest.fixture
def config(etcd: EtcdCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeConfig:
    path = tmp_path / "node.toml"
    endpoint = f"http://{etcd.endpoints[0]}"
    path.write_text(
        f'cluster = "demo"\nnode = "n2"\nendpoints = ["{endpoint}"]\nrun_dir = "{tmp_path}"\n'
        f'state_dir = "{tmp_path}"\nmetrics_listen = ""\noperate_group = ""\nread_group = ""\n'
    )
    monkeypatch.setenv("HACTL_CONFIG", str(path))
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    return load_node(path)


@pytest.fixture
def scene(store: Store, config: NodeConfig) -> Scene:
    """Begun, and joined by three nodes: vip on n1, database on n2."""
    scene = Scene(store)
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n1")
    scene.own("database", "n2")
    return scene


@pytest.fixture(params=["daemon", "etcd"])
def either(request: pytest.FixtureRequest, scene: Scene, config: NodeConfig) -> Iterator[str]:
    """With a daemon, and without."""
    if request.param == "etcd":
        yield "etcd"
        return
    with serving(scene, config):
        yield "daemon"


__all__ = ["Run", "hactl"]
