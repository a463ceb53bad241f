"""node.toml for an etcd of a test, and the command line in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hactl.config.node import NodeConfig, load_node
from tests.support.etcd import EtcdCluster, client_certificate
from tests.unit.cli.conftest import Run, hactl

Write = Callable[[EtcdCluster], NodeConfig]


@pytest.fixture(scope="package")
def secured() -> Iterator[EtcdCluster]:
    """Three members with TLS and authentication, as `hactl setup` makes them."""
    with EtcdCluster(3, tls=True) as cluster:
        cluster.enable_certificate_auth()
        cluster.ctl("role", "add", "hactl")
        cluster.ctl("role", "grant-permission", "hactl", "readwrite", "--prefix=true", "/hactl/demo/")
        cluster.ctl("user", "add", "hactl-n2", "--no-password")
        cluster.ctl("user", "grant-role", "hactl-n2", "hactl")
        yield cluster


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes this node's settings for an etcd, and the node's own certificate."""

    def written(cluster: EtcdCluster) -> NodeConfig:
        path, tls = tmp_path / "node.toml", cluster.certificates
        scheme = "https" if tls else "http"
        endpoints = ", ".join(f'"{scheme}://{endpoint}"' for endpoint in cluster.endpoints)
        text = f'cluster = "demo"\nnode = "n2"\nrun_dir = "{tmp_path}"\nstate_dir = "{tmp_path}"\n'
        text += f'metrics_listen = ""\nendpoints = [{endpoints}]\n'
        if tls:
            cert, key = client_certificate(tls.ca.parent, "client", "hactl-n2")
            pki = tmp_path / "pki"
            pki.mkdir()
            for file, name in ((tls.ca, "ca.pem"), (cert, "client.pem"), (key, "client.key")):
                shutil.copy(file, pki / name)
            (pki / "client.key").chmod(0o600)
            text += f'etcd_ca = "{pki}/ca.pem"\netcd_cert = "{pki}/client.pem"\netcd_key = "{pki}/client.key"\n'
        path.write_text(text)
        monkeypatch.setenv("HACTL_CONFIG", str(path))
        return load_node(path)

    return written


def give_root(cluster: EtcdCluster, config: NodeConfig) -> None:
    """The certificate of etcd's root, beside the node's own."""
    assert cluster.certificates is not None
    pki = Path(config.etcd_cert).parent
    shutil.copy(cluster.certificates.client_cert, pki / "admin.pem")
    shutil.copy(cluster.certificates.client_key, pki / "admin.key")
    (pki / "admin.key").chmod(0o600)


__all__ = ["Run", "hactl"]
