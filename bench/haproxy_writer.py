"""Runs in which the one writer of a database is switched: by `writer: elected`, and by HAProxy's `backup` alone.

The same three servers behind three addresses: the elected writer; backup servers with the built-in checks; backup
servers as they are often set up: checked every second, out after three failures, ten seconds to connect.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML

from bench.common import DEADLINE_S, Cluster, Run
from bench.haproxy_changes import revisions
from hactl.lab import files
from hactl.lab.spec import PYTHON, VIP
from hactl.lab.system import LabError, boottime_ms, wait_until
from hactl.lab.writes import PORT, Database, Stream

GROUP, GROUP_VIP = "writer", "10.77.0.44"
BINDS = {"elected": f"{VIP}:3306", "backup": f"{VIP}:3316", "backup 1s": f"{VIP}:3326"}
BEFORE_S, AFTER_S = 1.0, 1.0
_REVISION = re.compile(r"\(revision (\d+)\)")
Document = dict[str, Any]


def move(cluster: Cluster, number: int) -> Run:
    """The elected writer by a planned move of its group; the others by the end of the old writer's database, there
    being no other way to move them."""
    run = Run()
    with _databases(cluster) as old:
        new = [name for name in cluster.lab.nodes if name != old][number % 2]
        with _writing(cluster, run, "elected", old):
            if cluster.ask(new, "/v1/failover", {"group": GROUP, "to": new}) is None:
                raise LabError(f"{new} refuses to move {GROUP}")
            _await_owner(cluster, new, new)
        with _writing(cluster, run, "backup", old), _writing(cluster, run, "backup 1s", old):
            cluster.lab.node(old).group.child("backend/database").kill()
            time.sleep(5)
    return run


def cut(cluster: Cluster, _: int) -> Run:
    """The writer's node loses power; etcd's leader and the address in front of HAProxy are on others."""
    run = Run()
    with _databases(cluster) as old, contextlib.ExitStack() as stack:
        other = next(name for name in cluster.lab.nodes if name != old)
        if cluster.lab.etcd_leader() == old:
            cluster.lab.move_etcd_leader(other)
        if cluster.owner("vip") == old:
            cluster.move("vip", other)
        for name in BINDS:
            stack.enter_context(_writing(cluster, run, name, old))
        cluster.lab.kill(old)
        _await_owner(cluster, other, "", other_than=old)
        time.sleep(5)
    return run


def _document(original: Document, primary: str, nodes: dict[str, str]) -> Document:
    """With the databases: `primary` is the server that is no backup."""
    document: Document = json.loads(json.dumps(original))
    address = {"name": "address", "vip": {"address": f"{GROUP_VIP}/24", "interface": "eth0"}}
    document["groups"].append({"name": GROUP, "resources": [address]})
    first = {primary: nodes[primary]}
    listed = [
        {"name": name, "address": where, **({} if name == primary else {"backup": True})}
        for name, where in (first | nodes).items()
    ]
    common = {"port": PORT, "server": {"shutdown_sessions": True}}
    seconds = {"inter": "1s", "fastinter": "1s", "downinter": "1s", "rise": 2, "fall": 3, "observe": False}
    backup = {"members": False, "servers": listed, **common}
    document["services"] += [
        {"name": "elected", "binds": [BINDS["elected"]], "writer": "elected", "group": GROUP, **common},
        {"name": "backup", "binds": [BINDS["backup"]], **backup},
        {"name": "backup1s", "binds": [BINDS["backup 1s"]], "check": seconds, "timeouts": {"connect": "10s"}, **backup},
    ]
    return document


@contextlib.contextmanager
def _databases(cluster: Cluster) -> Iterator[str]:
    """They run and are configured; the node that has the writer. Afterwards all is as it was."""
    original = YAML(typ="safe").load(files.cluster_yaml(cluster.lab.spec).read_text())
    nodes = {name: node.address for name, node in cluster.lab.nodes.items()}
    database = Database(cluster.lab)
    database.start()
    try:
        _apply(cluster, _document(original, "n1", nodes))
        owner = _await_owner(cluster, "n1", "")
        if owner != "n1":
            _apply(cluster, _document(original, owner, nodes))
        yield owner
    finally:
        last = _document(original, "n1", nodes)
        last["groups"][-1]["enabled"] = False
        _write(cluster, last)
        _await(lambda: _state(cluster, _powered(cluster))[0] == "disabled", f"{GROUP} is released")
        _apply(cluster, original)
        database.stop()


@contextlib.contextmanager
def _writing(cluster: Cluster, run: Run, name: str, old: str) -> Iterator[None]:
    """A client writes to this service while the body runs, and a little before and after. The figure of its name: from
    the last write that `old` accepted to the first that another did."""
    since, client = boottime_ms(), f"{name.replace(' ', '')}-"
    with Stream(cluster.lab, BINDS[name], clients=1, interval_ms=2, name=client):
        time.sleep(BEFORE_S)
        yield
        time.sleep(AFTER_S)
    accepted = [write for write in Database(cluster.lab).writes(since) if write.client.startswith(client)]
    before = [write.accepted_ms for write in accepted if write.node == old]
    after = [write.accepted_ms for write in accepted if write.node != old]
    if not before or not after:
        raise LabError(f"{name}: {len(before)} writes accepted by {old}, {len(after)} by others")
    late = sum(at > after[0] for at in before)
    run.figures[name] = round(after[0] - max(at for at in before if at < after[0]), 1)
    run.more[f"{name}: writes"] = len(accepted)
    if name == "elected":
        run.figures["old after new"] = late
    else:
        run.more[f"{name}: old after new"] = late


def _apply(cluster: Cluster, document: Document) -> None:
    """Apply a change of HAProxy's settings; returns when it is in force on every node with power."""
    wanted = _write(cluster, document)

    def applied() -> bool:
        powered = [node.station for node in cluster.lab.nodes.values() if node.powered]
        return min(revisions(cluster.lab.spec, powered)) >= wanted

    _await(applied, "every HAProxy has the configuration")


def _write(cluster: Cluster, document: Document) -> int:
    """Its revision."""
    file = cluster.lab.spec.path / "wanted.yaml"
    file.write_text(json.dumps(document))
    via = cluster.lab.node(_powered(cluster))
    said = via.call(*PYTHON, "--config", str(via.home / "node.toml"), "config", "apply", str(file))
    match = _REVISION.search(said)
    if match is None:
        raise LabError(f"the configuration was not applied: {said}")
    return int(match[1])


def _state(cluster: Cluster, via: str) -> tuple[str, str]:
    status = cluster.ask(via, "/v1/status") or {"groups": []}
    group = next((known for known in status["groups"] if known["name"] == GROUP), {"state": "", "owner": ""})
    return str(group["state"]), str(group["owner"])


def _await_owner(cluster: Cluster, via: str, wanted: str, other_than: str = "") -> str:
    def there() -> str:
        state, owner = _state(cluster, via)
        return owner if state == "running" and owner != other_than and wanted in ("", owner) else ""

    return wait_until(there, deadline_s=DEADLINE_S, goal=f"{GROUP} runs on {wanted or 'a node'}", every_s=0.02)


def _await(condition: Any, goal: str) -> None:
    wait_until(condition, deadline_s=DEADLINE_S, goal=goal, every_s=0.05)


def _powered(cluster: Cluster) -> str:
    return next(name for name, node in cluster.lab.nodes.items() if node.powered)
