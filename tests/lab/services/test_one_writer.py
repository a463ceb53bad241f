"""One writer: the balancers follow the owner of a group, and leave no session to the one before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hactl.lab.spec import VIP
from hactl.lab.system import boottime_ms
from hactl.lab.writes import PORT, Database, Stream, Switch, switch
from tests.lab.cluster.whole import Cluster
from tests.support.promises import promised

pytestmark = [pytest.mark.root, pytest.mark.lab]

GROUP = {"name": "primary", "resources": [{"name": "here", "exec": {"command": ["/bin/sleep", "infinity"]}}]}
BY_VIP, BY_NODE = 3306, 3307
SERVICE: dict[str, Any] = {
    "name": "db",
    "mode": "tcp",
    "binds": [f"{VIP}:{BY_VIP}", f"*:{BY_NODE}"],
    "port": PORT,
    "writer": "elected",
    "group": "primary",
}


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    """Its writer on n1, the VIP on n2."""
    database = Database(cluster.lab)
    database.start()
    cluster.bring("n2")
    document = cluster.with_groups(GROUP)
    document["services"].append(SERVICE)
    cluster.configure(document)
    cluster.await_running("primary")
    cluster.settle("primary", "n1")
    cluster.begin()
    yield database
    database.stop()


def writing(cluster: Cluster, database: Database, node: str, since_ms: float = 0.0) -> None:
    """Wait until a good number of writes have gone to this node since then."""
    wanted = 20

    def look() -> bool:
        return sum(write.node == node for write in database.writes(since_ms)) >= wanted

    cluster.until(look, f"{node} is written to")


def switched(cluster: Cluster, database: Database, old: str, new: str, since_ms: float) -> Switch:
    """The switch: the old writer was written to before it and not after, and has no session left."""
    writing(cluster, database, new, boottime_ms())
    result = switch(database.writes(since_ms), old, new)
    promised(not result.late, f"{old} was written to after {new}")
    assert {write.node for write in database.writes(since_ms)} == {old, new}
    cluster.until(lambda: not database.sessions(old), f"no session to {old} is left")
    print(f"{old} -> {new}: {result.gap_ms:.0f} ms from its last write to the first of the next")
    return result


def test_a_power_cut_of_the_writer(cluster: Cluster, database: Database) -> None:
    began = boottime_ms()
    with Stream(cluster.lab, f"{VIP}:{BY_VIP}"):
        writing(cluster, database, "n1", began)
        cluster.lab.kill("n1")
        new = cluster.await_running("primary", cluster.others("n1"))
        switched(cluster, database, "n1", new, began)
        cluster.lab.start("n1")
        database.start(["n1"])
        cluster.await_live()
        cluster.await_renewals()
        assert cluster.owner("primary") == new  # no failback
        back = boottime_ms()
        writing(cluster, database, new, back)
        assert {write.node for write in database.writes(back)} == {new}


def test_a_planned_move(cluster: Cluster, database: Database) -> None:
    """Through the balancers of all nodes."""
    began = boottime_ms()
    targets = [f"{node.address}:{BY_NODE}" for node in cluster.nodes.values()]
    with Stream(cluster.lab, *targets, clients=2):
        writing(cluster, database, "n1", began)
        cluster.hactl("n2", "failover", "primary", "--to", "n3")
        result = switched(cluster, database, "n1", "n3", began)
        cluster.until(
            lambda: len({write.balancer for write in database.writes() if write.node == "n3"}) == 3, "all follow"
        )
    assert result.gap_ms < cluster.deadline_s * 1000


def test_the_writers_node_freezes(cluster: Cluster, database: Database) -> None:
    """It goes on later, when another is the writer: no balancer sends it anything."""
    began = boottime_ms()
    with Stream(cluster.lab, f"{VIP}:{BY_VIP}"):
        writing(cluster, database, "n1", began)
        cluster.node("n1").freeze()
        new = cluster.await_running("primary", cluster.others("n1"))
        switched(cluster, database, "n1", new, began)
        node = cluster.node("n1")
        node.thaw()
        cluster.until(lambda: node.self_fenced or "n1" in cluster.store.view().sessions, "it has taken notice")
        writing(cluster, database, new, boottime_ms())
        promised(not switch(database.writes(began), "n1", new).late, f"n1 was written to after {new}")
        assert not database.sessions("n1")


def test_without_etcd_the_writer_stays(cluster: Cluster, database: Database) -> None:
    """No writer can be elected, and the last one is in use until one is."""
    began = boottime_ms()
    with Stream(cluster.lab, f"{cluster.node('n2').address}:{BY_NODE}"):
        writing(cluster, database, "n1", began)
        cluster.lab.stop_etcd()
        cluster.await_stopped("n2")  # the VIP's lease is over
        writing(cluster, database, "n1", boottime_ms())
        cluster.lab.start_etcd()
        cluster.await_live()
        owner = cluster.await_running("primary")
        writing(cluster, database, owner, boottime_ms())
        if owner != "n1":
            promised(not switch(database.writes(began), "n1", owner).late, f"n1 was written to after {owner}")


def test_while_nobody_owns_the_group_nobody_is_written_to(cluster: Cluster, database: Database) -> None:
    document = cluster.with_groups({**GROUP, "enabled": False})
    document["services"].append(SERVICE)
    with Stream(cluster.lab, f"{VIP}:{BY_VIP}"):
        writing(cluster, database, "n1", boottime_ms())
        cluster.apply(document)
        cluster.until(lambda: cluster.group("primary").state == "released", "it is released")
        cluster.until(lambda: not database.sessions("n1"), "no session is left")
        nobody = boottime_ms()
        cluster.await_renewals()
        assert not [write for write in database.writes(nobody) if write.sent_ms > nobody]
        document["groups"][-1] = GROUP
        cluster.apply(document)
        writing(cluster, database, cluster.await_running("primary"), nobody)
