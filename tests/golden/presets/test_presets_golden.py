"""What HAProxy is told for each preset, and that it takes it. `HACTL_UPDATE_GOLDEN=1 pytest tests/golden/presets`
writes the files anew: one preset of each kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hactl.config.load import parse_cluster
from hactl.haproxy.render.document import render
from hactl.haproxy.routing import Routing
from hactl.haproxy.settings import HaproxySettings
from hactl.model.cluster import ClusterSpec

HERE = Path(__file__).parent

# One of each kind: plain, long transfers, by the source, a cookie, rules, one writer, a role, a check by TLS.
KINDS = (
    "keystone", "glance", "nova-metadata", "novnc", "serial", "horizon", "ironic-public", "mariadb", "redis", "etcd",
    "ovn-nb", "kube-apiserver",
)  # fmt: skip

HEAD = """\
cluster: demo
nodes: [{name: n1, address: 10.0.0.11}, {name: n2, address: 10.0.0.12}, {name: n3, address: 10.0.0.13}]
groups:
  - {name: galera-writer, resources: [{name: address, vip: {address: 10.0.0.30/24}}]}
  - {name: ovn, resources: [{name: address, vip: {address: 10.0.0.33/24}}]}
"""

ROUTING = Routing(frozenset({"n1", "n2", "n3"}), owners={"galera-writer": "n2", "ovn": "n1"})


def rendered(spec: ClusterSpec, run_dir: Path) -> str:
    return render(spec, ROUTING, "n1", HaproxySettings(str(run_dir)))


def with_preset(name: str) -> ClusterSpec:
    return parse_cluster(f"{HEAD}services: [{{preset: {name}, binds: [10.0.0.30, 'fd00::30']}}]\n")


def section(text: str, name: str) -> str:
    """The service's part of the file."""
    begin = text.index(f"listen {name} ")
    end = text.find("\n\n", begin)
    return text[begin : None if end < 0 else end].rstrip() + "\n"


@pytest.mark.parametrize("name", KINDS)
def test_as_it_is_written(name: str) -> None:
    text, file = section(rendered(with_preset(name), Path("/run/hactl/haproxy")), name), HERE / f"{name}.cfg"
    if os.environ.get("HACTL_UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()
