"""The commands that begin a cluster, and those that change its configuration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from election.store import Store
from hactl.admin import event_log, identity
from hactl.config.document import read_stored
from hactl.config.node import NodeConfig
from tests.integration.cli.conftest import Run
from tests.support.etcd import EtcdCluster
from tests.support.scene import CLUSTER, KEYS, Scene

FAST = CLUSTER.replace("nodes:\n", "timing: {profile: fast}\nnodes:\n", 1)


def test_init(hactl: Run, store: Store, config: NodeConfig, tmp_path: Path) -> None:
    status, out, err = hactl("init", tmp_path / "cluster.yaml")
    assert (status, out.partition(":")[0]) == (0, "cluster demo begun") and err.startswith("warning: ")
    status, _, err = hactl("init", tmp_path / "cluster.yaml")
    assert status == 1 and "there is a cluster `demo` in this store already" in err and "config apply" in err
    assert store.snapshot(KEYS.history + "config/", timeout_s=5).items


def test_bad_input_is_named_with_its_place_and_changes_nothing(
    hactl: Run, store: Store, config: NodeConfig, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(CLUSTER.replace("overlap", "overlapp"))
    status, _, err = hactl("init", bad)
    assert status == 2 and f"{bad}:8:5: groups[0].overlapp: unknown key; did you mean `overlap`?" in err
    bad.write_text(CLUSTER.replace("cluster: demo", "cluster: other"))
    status, _, err = hactl("init", bad)
    assert status == 2 and "make them the same" in err
    status, _, err = hactl("init", tmp_path / "absent.yaml")
    assert status == 2 and "No such file" in err
    (tmp_path / "node.toml").write_text('cluster = "demo"\nendpoint = "x"\n')
    status, _, err = hactl("init", tmp_path / "cluster.yaml")
    assert status == 2 and "node.toml:2:1: endpoint: unknown key; did you mean `endpoints`?" in err
    assert not store.snapshot(KEYS.prefix, timeout_s=5).items
    assert not store.snapshot(KEYS.history, timeout_s=5).items


@pytest.mark.skipif(not shutil.which("haproxy", path="/usr/local/sbin:/usr/sbin:/usr/bin"), reason="needs haproxy")
def test_a_configuration_that_haproxy_refuses_begins_no_cluster_and_is_not_applied(
    hactl: Run, store: Store, config: NodeConfig, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.yaml"
    service = '  - {name: raw, binds: ["10.0.0.30:6000"], port: 6000, mode: http, extra: [nonsense]}\n'
    bad.write_text(CLUSTER + service)
    status, _, err = hactl("init", bad)
    assert status == 2 and "services[1].extra[0]: HAProxy refuses it" in err
    assert not store.snapshot(KEYS.prefix, timeout_s=5).items
    assert hactl("init", tmp_path / "cluster.yaml")[0] == 0
    status, _, err = hactl("config", "apply", bad)
    assert status == 2 and "services[1].extra[0]: HAProxy refuses it" in err
    assert hactl("config", "apply", "--skip-haproxy", bad)[0] == 0


def test_an_etcd_that_cannot_be_reached(
    hactl: Run, config: NodeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "TIMEOUT_S", 0.3)
    (tmp_path / "node.toml").write_text('cluster = "demo"\nendpoints = ["http://127.0.0.1:1"]\n')
    status, _, err = hactl("--config", tmp_path / "node.toml", "init", tmp_path / "cluster.yaml")
    assert status == 1 and "127.0.0.1:1" in err


@pytest.mark.parametrize("words", [("statuss",), ("failover",), ("status", "--jsn"), ("node", "away", "n1")])
def test_usage(hactl: Run, config: NodeConfig, words: tuple[str, ...]) -> None:
    assert hactl(*words)[0] == 2


def test_recover(hactl: Run, scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "identity.json").write_text('{"uuid": "u", "generation": 6, "revision": 9}')
    status, _, err = hactl("recover")
    assert status == 2 and "give --yes" in err and "this node knows generation 6" in err
    assert scene.view.sessions
    status, out, err = hactl("recover", "--yes")
    assert status == 0 and "generation 7" in out and "live sessions, which will end: n1, n2, n3" in err
    assert not scene.view.sessions and set(scene.view.fences) == {"n1", "n2", "n3"}
    status, out, _ = hactl("status")
    assert "node n1 has not reported since `hactl recover` that it stopped everything" in out


def test_recover_of_a_store_that_lost_everything(hactl: Run, scene: Scene, etcd: EtcdCluster, tmp_path: Path) -> None:
    etcd.ctl("del", "--prefix", "/hactl/")
    status, _, err = hactl("recover", "--yes")
    assert status == 2 and "give the file: `hactl recover CLUSTER_YAML`" in err
    assert hactl("recover", "--yes", tmp_path / "cluster.yaml")[0] == 0
    view = scene.view
    assert view.identity is not None and view.config is not None and set(view.fences) == {"n1", "n2", "n3"}


def test_recover_of_a_store_of_which_nothing_can_be_read(hactl: Run, scene: Scene, tmp_path: Path) -> None:
    scene.put(KEYS.identity, "{")
    scene.put(KEYS.config, "\udcff")
    status, _, err = hactl("recover", "--yes")
    assert status == 2 and "cannot be read" in err and "give the file: `hactl recover CLUSTER_YAML`" in err
    later = {"serial": 7, "format": 99, "document": {}}
    scene.put(KEYS.config, json.dumps(later))
    status, _, err = hactl("recover", "--yes", tmp_path / "cluster.yaml")
    assert status == 2 and "upgrade hactl" in err, "what a later version can read is not written over"
    scene.put(KEYS.config, "[]")
    status, _, err = hactl("recover", "--yes", tmp_path / "cluster.yaml")
    assert status == 0 and "cannot be read" in err and "that of the file is used" in err
    view = scene.view
    assert view.identity is not None and view.config is not None and read_stored(view.config.record).spec == scene.spec


def test_config_check(hactl: Run, config: NodeConfig, tmp_path: Path) -> None:
    # This machine is n2, and has no interface of that name in that network.
    status, out, err = hactl("config", "check", tmp_path / "cluster.yaml")
    assert status == 2 and "on this node, n2:" in err and out == ""
    (tmp_path / "node.toml").write_text('cluster = "demo"\nnode = "elsewhere"\n')
    status, out, err = hactl("config", "check", tmp_path / "cluster.yaml")
    assert status == 0 and "failover at worst" in out and err == ""
    assert "every user of this machine can write to it" in out and "there is no /etc/hactl/cluster.key" in out


def test_config_apply(hactl: Run, scene: Scene, config: NodeConfig, tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    status, out, _ = hactl("config", "apply", file)
    assert status == 0 and "configuration 1" in out and "nothing to change" in out
    file.write_text(FAST)
    status, _, err = hactl("config", "apply", file, "--expect", "1")
    assert status == 1 and "somebody changed it" in err
    status, out, _ = hactl("config", "apply", file)
    assert status == 0 and "~ timing.lease_ms: 3.75s -> 1.25s" in out and "configuration 2" in out
    assert event_log.read(scene.store, KEYS, 1)[0][0].event == "config_applied"
    status, _, err = hactl("config", "apply", tmp_path / "absent.yaml")
    assert status == 2 and "No such file" in err
