"""A file of services for each theme, as it is rendered, accepted by HAProxy, and stored.

`themes/NAME.yaml` goes into the cluster below; `themes/NAME.cfg` is what becomes of it on n1.
`HACTL_UPDATE_GOLDEN=1 pytest tests/golden/haproxy` writes them anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hactl.config.compiled import dump, load
from hactl.config.document import document, parse_document
from hactl.config.load import parse_cluster
from hactl.haproxy.render.document import render
from hactl.haproxy.routing import Routing
from hactl.model.cluster import ClusterSpec
from tests.support.haproxy_accepts import SETTINGS

HERE = Path(__file__).parent / "themes"

NAMES = sorted(file.stem for file in HERE.glob("*.yaml"))

CLUSTER = """\
cluster: demo
nodes:
  - {name: n1, address: 10.0.0.11}
  - {name: n2, address: "fd00::12"}
  - {name: n3, address: 10.0.0.13}
groups:
  - name: vip
    overlap: true
    resources:
      - {name: address, vip: {address: 10.0.0.30/24}}
      - {name: address2, vip: {address: 10.0.0.31/24}}
      - {name: address6, vip: {address: "fd00::30/64"}}
  - name: writer
    fencing: required
    resources: [{name: unit, systemd: {unit: mariadb-writer.service}}]
"""

# n3 is not heard; n2 is drained of `api`, and has the writer.
ROUTING = Routing(frozenset({"n1", "n2"}), frozenset({("api", "n2")}), {"writer": "n2"})


def read(name: str) -> ClusterSpec:
    return parse_cluster(CLUSTER + (HERE / f"{name}.yaml").read_text(), name)


@pytest.mark.parametrize("name", NAMES)
def test_rendered_as_recorded(name: str) -> None:
    text = render(read(name), ROUTING, "n1", SETTINGS)
    golden = HERE / f"{name}.cfg"
    if os.environ.get("HACTL_UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_stored_and_sent_it_is_the_same(name: str) -> None:
    spec = read(name)
    assert parse_document(document(spec)) == spec
    assert load(dump(spec)) == spec


def test_every_recorded_file_has_its_services() -> None:
    assert {file.stem for file in HERE.glob("*.cfg")} == set(NAMES)
