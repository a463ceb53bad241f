"""One daemon a node, one machine a name: a second one refuses to start and disturbs nothing."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from hactl.lab.spec import PYTHON, SERVICE_VIP
from hactl.lab.system import LabError

from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]


@pytest.fixture
def undisturbed(cluster: Cluster) -> Iterator[None]:
    """Owners and processes are the same afterwards."""

    def facts() -> tuple[object, ...]:
        view = cluster.store.view()
        sessions = {name: session.create_revision for name, session in view.sessions.items()}
        pids = {name: (node.daemon_pid(), cluster.service_pids(name)) for name, node in cluster.nodes.items()}
        haproxies = {name: cluster.status(name)["local"]["haproxy"]["pid"] for name in cluster.nodes}
        return view.groups, sessions, pids, haproxies

    before = facts()
    yield
    cluster.await_renewals()
    assert facts() == before
    assert cluster.changes(SERVICE_VIP) == []


def second(cluster: Cluster, at: str, name: str, where: Path) -> Path:
    """A node.toml by which another machine, on the node `at`, calls itself `name`."""
    text = (cluster.node(name).home / "node.toml").read_text()
    where.mkdir()
    for setting, value in {
        "state_dir": where / "state",
        "run_dir": where / "run",
        "cgroup_root": cluster.node(at).group.path / "second",
        "machine_id_file": where / "machine-id",
        "boot_id_file": where / "boot-id",
    }.items():
        text = re.sub(rf"(?m)^{setting} = .*$", f'{setting} = "{value}"', text)
    (where / "machine-id").write_text(uuid.uuid4().hex + "\n")
    (where / "boot-id").write_text(f"{uuid.uuid4()}\n")
    (where / "node.toml").write_text(text + 'metrics_listen = ""\n')
    return where / "node.toml"


def refuses(cluster: Cluster, at: str, settings: Path) -> str:
    """Start a daemon that must end with status 2 by itself; returns its output. (A guard that it started may outlive
    it, and hold the file that it was given as standard output.)"""
    output = cluster.lab.spec.path / "refused"
    script = f'exec "$@" >{output} 2>&1'
    with pytest.raises(LabError, match="exit 2: "):
        cluster.node(at).call("sh", "-c", script, "sh", *PYTHON, "daemon", "--config", str(settings), timeout_s=20)
    return output.read_text()


@pytest.mark.usefixtures("undisturbed")
def test_a_second_machine_of_the_same_name_refuses(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    at = cluster.others(owner)[0]
    settings = second(cluster, at, owner, cluster.lab.spec.path / "second")
    first = (cluster.node(owner).home / "machine-id").read_text().strip()
    cgroup = cluster.node(at).group.child("second")
    try:
        said = refuses(cluster, at, settings)
        assert f"node name '{owner}' is in use by another machine" in said
        assert first in said
        assert cluster.node(owner).address in said
    finally:
        cgroup.remove()


@pytest.mark.usefixtures("undisturbed")
def test_a_second_daemon_of_the_same_node_refuses(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    node = cluster.node(owner)
    said = refuses(cluster, owner, node.home / "node.toml")
    assert f"another daemon of this node is running as process {node.daemon_pid()}" in said
