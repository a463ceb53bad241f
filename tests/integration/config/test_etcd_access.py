"""node.toml's settings of the way to etcd: opened with secrets that are secret, and weaknesses that are reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from hactl.config.cluster_key import create_key
from hactl.config.errors import UnusableFileError
from hactl.config.etcd_access import found_weak, open_etcd
from tests.support.certificates import make
from tests.unit.config.test_etcd_access import node


def test_a_file_that_would_not_be_taken_again_is_said_while_the_connection_lasts(tmp_path: Path) -> None:
    """Renewed with a wide mode, or cut short: without this it would show only at the next connection, or start."""
    cert = make(tmp_path, "node", 30)
    key, cluster_key = tmp_path / "node.key", tmp_path / "cluster.key"
    create_key(cluster_key)
    key.chmod(0o600)
    settings = {"etcd_ca": str(cert), "etcd_cert": str(cert), "etcd_key": str(key), "cluster_key": str(cluster_key)}
    here = node(endpoints=("https://10.0.0.1:1",), state_dir=str(tmp_path), run_dir=str(tmp_path), **settings)

    def said() -> list[str]:
        assert found_weak(here, root=False) == []
        return [f"{weak.problem}; {weak.hint}" for weak in found_weak(here, root=True)]

    assert said() == []
    key.chmod(0o644)
    cluster_key.chmod(0o640)
    first, second = said()
    assert f"`chmod 600 {key}`" in first and "does not start with it as it is" in first
    assert f"chmod 600 {cluster_key}" in second and "takes no new configuration" in second
    cluster_key.chmod(0o600)
    key.chmod(0o600)
    key.write_text("")
    (said_now,) = said()
    assert "holds no private key" in said_now
    with pytest.raises(UnusableFileError, match="holds no private key"):
        open_etcd(here)
