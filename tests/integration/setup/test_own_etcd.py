"""`hactl setup --etcd-endpoints`: an etcd that is there is used, and not touched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hactl.config.etcd_access import open_etcd
from hactl.config.node import load_node
from hactl.setup.begin import renew
from hactl.setup.errors import BadInputError, RefusedError
from hactl.setup.first import set_up
from hactl.setup.join import join, read_bundle
from hactl.setup.plan import OwnEtcd, Plan, make_plan
from tests.support.etcd import EtcdCluster
from tests.support.membership import Cluster, cluster
from tests.support.setup_machines import Machines, machines


@pytest.fixture(scope="module")
def etcd() -> Iterator[EtcdCluster]:
    with EtcdCluster(size=3, tls=True) as cluster:
        yield cluster


def own(etcd: EtcdCluster) -> OwnEtcd:
    made = etcd.certificates
    assert made is not None
    urls = tuple(f"https://{endpoint}" for endpoint in etcd.endpoints)
    return OwnEtcd(urls, str(made.ca), str(made.client_cert), str(made.client_key))


def plan_of(made: Machines, etcd: OwnEtcd, cluster: str = "prod") -> Plan:
    return make_plan(cluster, [host.text for host in made.hosts], token="t", etcd=etcd)


def first(made: Machines, plan: Plan) -> list[str]:
    n1, said = made.of["n1"], list[str]()
    set_up(plan, n1.places, n1, said.append, by="root@n1", ssh_user="", deadline=time.monotonic() + 10)
    return said


def nodes_of(made: Cluster) -> list[str]:
    return [node.name for node in made.known().spec.nodes]


def test_it_is_used_and_not_touched(tmp_path: Path, etcd: EtcdCluster) -> None:
    with machines(tmp_path, "n1", "n2") as made:
        plan, n2 = plan_of(made, own(etcd)), made.of["n2"]
        assert first(made, plan)[-1] == "the cluster prod has begun"
        join(read_bundle(made.of["n1"].places.bundle("n2")), n2.places, n2, print)
        for machine in made.of.values():
            assert not [text for text in machine.done if "etcd" in text]
            assert not Path(machine.places.etcd).exists() and not Path(machine.places.drop_in).exists()
        assert not Path(made.of["n1"].places.authority, "ca.key").exists()
        with closing(open_etcd(load_node(Path(n2.places.node_toml)))) as store:
            assert store.get("/hactl/prod/config", timeout_s=3.0)[0] is not None
        assert first(made, plan)[-1] == "the cluster prod has begun already"
        with pytest.raises(RefusedError, match="of your own authority"):
            renew(plan, made.of["n1"].places, made.of["n1"], print, new_keys=False)


def test_a_cluster_of_this_name_with_another_key_is_refused(tmp_path: Path, etcd: EtcdCluster) -> None:
    for place in ("one", "two"):
        with machines(tmp_path / place, "n1", "n2") as made:
            plan = plan_of(made, own(etcd), "twice")
            if place == "one":
                first(made, plan)
            else:
                with pytest.raises(RefusedError, match="holds a cluster `twice` that was begun with another key"):
                    first(made, plan)


def test_a_cluster_that_etcd_has_lost_is_not_begun_anew(tmp_path: Path, etcd: EtcdCluster) -> None:
    """Its nodes would refuse the new history."""
    with machines(tmp_path, "n1", "n2") as made:
        plan, n1 = plan_of(made, own(etcd), "lost"), made.of["n1"]
        Path(n1.places.etc).mkdir(parents=True, exist_ok=True)
        Path(n1.places.node_toml).write_text(f'cluster = "lost"\nnode = "n1"\nstate_dir = "{tmp_path}"\n')
        (tmp_path / "identity.json").write_text("{}")
        with pytest.raises(RefusedError, match="etcd has lost it: `hactl recover CLUSTER_YAML`"):
            first(made, plan)
        (tmp_path / "identity.json").unlink()
        assert first(made, plan)[-1] == "the cluster lost has begun"
        (tmp_path / "identity.json").write_text("{}")
        assert first(made, plan)[-1] == "the cluster lost has begun already"


def test_endpoints_of_different_etcds_are_refused(tmp_path: Path, etcd: EtcdCluster) -> None:
    with machines(tmp_path, "n1", "n2") as made, EtcdCluster() as here, EtcdCluster() as there:
        urls = tuple(f"http://{endpoint}" for endpoint in (*here.endpoints, *there.endpoints))
        with pytest.raises(RefusedError, match="different etcds"):
            first(made, plan_of(made, OwnEtcd(urls)))


def test_machines_come_and_go(tmp_path: Path) -> None:
    """Without a change of that etcd's members and users."""
    with EtcdCluster(tls=True) as etcd, cluster(tmp_path, "n1", "n2", etcd=own(etcd)) as made:
        made.new("n3", 13)
        made.add(made.host("n3").text)
        assert nodes_of(made) == ["n1", "n2", "n3"] and "start hactl" in made.of["n3"].done
        made.rename("n2", "db")
        assert nodes_of(made) == ["n1", "db", "n3"] and made.of["db"].config().node == "db"
        made.power_cut("n3")
        made.new("n3", 14)
        made.replace(made.host("n3").text, dead=True)
        assert nodes_of(made) == ["n1", "db", "n3"]
        made.remove("n3")
        assert nodes_of(made) == ["n1", "db"]
        for machine in made.of.values():
            assert not [text for text in machine.done if "etcd" in text]
        assert made.plan.etcd is not None and made.plan.change is None


def test_files_that_cannot_be_used(tmp_path: Path, etcd: EtcdCluster) -> None:
    given = own(etcd)
    with machines(tmp_path, "n1", "n2") as made:
        for wrong, words in (
            (OwnEtcd(given.endpoints, "/gone.pem", given.cert, given.key), "/gone.pem cannot be read"),
            (OwnEtcd(given.endpoints, given.ca, given.key, given.cert), "no certificate in PEM form"),
        ):
            with pytest.raises(BadInputError, match=words):
                first(made, plan_of(made, wrong))
