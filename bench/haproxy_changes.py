"""A hundred changes of the configuration, each waited for. `python -m bench.haproxy_changes NODE_TOML LAB FILE`

A process of its own on a node of the lab, so that none of them needs a new one. Writes into FILE how long each took
until every node had it in force, as JSON, in seconds.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from election.etcd.store import EtcdStore
from election.keys import Keys
from hactl.admin.config import apply
from hactl.config.load import parse_cluster
from hactl.config.node import load_node
from hactl.lab import files
from hactl.lab.spec import LabSpec, NodeName, load
from hactl.lab.system import LabError, wait_until

CHANGES = 100
# Shorter than the time for which an old process waits for a question: as fast as a person with a script.
PAUSE_S = 0.1
_REVISION = re.compile(r"configuration revision (\d+)")

Document = dict[str, Any]


def changes(original: Document) -> Iterator[tuple[str, Document]]:
    """The changes by name, each with the configuration: in turn those that HAProxy takes by commands (weight and
    address of a server, a server less) and those that it must be reloaded for."""
    document: Document = json.loads(json.dumps(original))
    service, other = document["services"][:2]
    spare = {"name": "spare", "address": "10.77.0.11", "weight": 1}
    other["servers"] = [spare]
    for number in itertools.count(1):
        service["timeouts"] = {"server": f"{60 + number}s"}
        yield "timeout", document
        spare["weight"] = 1 + number
        yield "weight", document
        service["nodes"] = ["n1", "n2"]
        yield "server out", document
        other["maxconn"] = 1000 + number
        yield "maxconn", document
        spare["address"] = f"10.77.0.{11 + number % 2}"
        yield "address", document
        del service["nodes"]
        yield "server in", document


def revisions(spec: LabSpec, nodes: Sequence[NodeName] = ()) -> set[int]:
    """Of the configuration in force, on these nodes or on all."""
    in_force = set()
    for node in nodes or spec.stations:
        text = (files.home(spec, node) / "run" / "haproxy" / "haproxy.cfg.good").read_text()
        match = _REVISION.search(text[:500])
        in_force.add(int(match[1]) if match else 0)
    return in_force


def carry_out(store: EtcdStore, spec: LabSpec) -> list[tuple[str, float]]:
    """All changes, and the original again."""
    original = YAML(typ="safe").load(files.cluster_yaml(spec).read_text())
    times = []
    for name, document in itertools.chain(itertools.islice(changes(original), CHANGES), [("original", original)]):
        began = time.monotonic()
        done = apply(store, Keys.of(spec.name), parse_cluster(json.dumps(document)), by="bench")
        if not done.ok:
            raise LabError(f"{name}: {'; '.join(done.refused)}")
        wait_until(lambda r=done.revision: revisions(spec) == {r}, deadline_s=30, goal=name, every_s=0.01)  # type: ignore[misc]
        times.append((name, round(time.monotonic() - began, 4)))
        time.sleep(PAUSE_S)
    return times[:-1]


if __name__ == "__main__":
    node, lab, file = sys.argv[1:]
    config = load_node(Path(node))
    Path(file).write_text(json.dumps(carry_out(EtcdStore(config.endpoints), load(lab))))
