"""A haproxy.cfg imported into a running cluster: HAProxy gets the change that `config diff` shows, and serves."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from hactl.lab.spec import BACKEND_PORTS, VIP

from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

PORT = 8090
FILE = f"""\
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
listen imported
    bind {VIP}:{PORT}
    http-response set-header X-Imported yes
    option httpchk GET /
"""


def no_difference(cluster: Cluster) -> bool:
    """Each node says so of itself, and the first of the others, too."""
    said = [cluster.hactl(name, "config", "diff").splitlines() for name in cluster.nodes]
    return all(lines[-1].endswith("no difference") for lines in [*said, *([line] for line in said[0])])


def test_a_file_is_imported_compared_and_put_to_use(cluster: Cluster, tmp_path: Path) -> None:
    cluster.until(lambda: no_difference(cluster), "every node has the file of the configuration in use")
    file, there, new = tmp_path / "haproxy.cfg", tmp_path / "cluster.yaml", tmp_path / "new.yaml"
    addresses = {node["name"]: node["address"] for node in cluster.base["nodes"]}
    port = BACKEND_PORTS["api-one"]
    lines = (f"    server old-{name} {address}:{port} check inter 1s\n" for name, address in addresses.items())
    file.write_text(FILE + "".join(lines))
    with there.open("w") as stream:
        YAML(typ="safe").dump(cluster.base, stream)

    cluster.hactl("n1", "import", "haproxy", str(file), "--cluster", str(there), "-o", str(new))
    said = cluster.hactl("n1", "config", "diff", str(new))
    assert "+ services.imported" in said and f"\n+    bind {VIP}:{PORT}\n" in said
    assert f"\n+    server n2 {addresses['n2']}:{port} weight 100\n" in said

    cluster.apply(YAML(typ="safe").load(new.read_text()))
    cluster.until(lambda: no_difference(cluster), "every node has the new file")
    cluster.until(lambda: cluster.lab.ask(f"{VIP}:{PORT}") in addresses, "the service answers by its new address")
