"""One writer, by the preset `mariadb`, with a real MariaDB and Galera."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hactl.lab.spec import VIP
from hactl.lab.writes import Write, switch
from tests.lab.cluster.whole import Cluster

from .galera import CHECK, PORT, Clients, Galera

pytestmark = [pytest.mark.root, pytest.mark.lab]


def group(galera: Galera) -> dict[str, Any]:
    """As preset `galera-writer`, with a check that finds its server by the node's name."""
    check = [sys.executable, str(CHECK), str(galera.directory)]
    watched = {"command": ["/bin/sleep", "infinity"], "ready": check, "monitor": check}
    resource = {"name": "in-sync", "exec": watched, "start_timeout": "5s", "monitor_interval": "1s"}
    return {"name": "galera-writer", "resources": [resource], "restarts": 0, "failure_expiry": "30s"}


@pytest.fixture
def galera(cluster: Cluster) -> Iterator[Galera]:
    """The writer on n1, the VIP on n2."""
    galera = Galera(cluster.lab)
    try:
        galera.up()
        cluster.bring("n2")
        document = cluster.with_groups(group(galera))
        document["services"].append({"preset": "mariadb", "binds": [f"{VIP}:{PORT}"]})
        cluster.configure(document)
        cluster.settle("galera-writer", "n1")
        cluster.begin()
        yield galera
    finally:
        galera.down()


def now_ms() -> float:
    """The clock of the rows."""
    return time.time() * 1000


def writing(cluster: Cluster, galera: Galera, node: str, since_ms: float) -> None:
    """Wait until rows that were sent since then are committed by the server on this node."""

    def look() -> bool:
        return sum(write.node == node for write in galera.writes(node, since_ms)) >= 20

    cluster.until(look, f"{node} is written to")


def judged(galera: Galera, clients: Clients, old: str, new: str, since_ms: float) -> list[Write]:
    """After a switch: the old server was sent nothing more, and no row that a client was told of is lost."""
    writes = galera.writes(new, since_ms)
    switched = switch(writes, old, new)
    assert not switched.late
    assert {write.node for write in writes} == {old, new}
    there = {(write.client, write.number) for write in writes}
    acked = {(name, number) for name, numbers in clients.acked.items() for number in numbers}
    assert acked <= there
    print(f"{old} -> {new}: {switched.gap_ms:.0f} ms from its last commit to the first of the next; {len(there)} rows")
    return writes


def test_a_planned_move(cluster: Cluster, galera: Galera) -> None:
    began = now_ms()
    with Clients(cluster.lab, VIP) as clients:
        writing(cluster, galera, "n1", began)
        cluster.hactl("n2", "failover", "galera-writer", "--to", "n3")
        writing(cluster, galera, "n3", now_ms())
    judged(galera, clients, "n1", "n3", began)


def test_a_power_cut_of_the_writer(cluster: Cluster, galera: Galera) -> None:
    began = now_ms()
    with Clients(cluster.lab, VIP) as clients:
        writing(cluster, galera, "n1", began)
        cluster.lab.kill("n1")
        new = cluster.await_running("galera-writer", ["n2", "n3"])
        writing(cluster, galera, new, now_ms())
        cluster.lab.start("n1")
        galera.start("n1", donor="n2" if new == "n3" else "n3")
        cluster.await_live()
        cluster.await_renewals()
        assert cluster.owner("galera-writer") == new  # no failback
    judged(galera, clients, "n1", new, began)


def test_the_writers_node_freezes(cluster: Cluster, galera: Galera) -> None:
    began = now_ms()
    with Clients(cluster.lab, VIP) as clients:
        writing(cluster, galera, "n1", began)
        cluster.node("n1").freeze()
        new = cluster.await_running("galera-writer", ["n2", "n3"])
        writing(cluster, galera, new, now_ms())
        cluster.node("n1").thaw()
        writing(cluster, galera, new, now_ms())
    judged(galera, clients, "n1", new, began)


def test_a_writer_that_falls_out_of_sync_is_replaced(cluster: Cluster, galera: Galera) -> None:
    began = now_ms()
    with Clients(cluster.lab, VIP) as clients:
        writing(cluster, galera, "n1", began)
        galera.ask("n1", "SET GLOBAL wsrep_desync = ON")
        new = cluster.await_running("galera-writer", ["n2", "n3"])
        writing(cluster, galera, new, now_ms())
    judged(galera, clients, "n1", new, began)
