"""Plans and bundles with recorded certificates, for tests that start no program."""

from __future__ import annotations

from hactl.setup.bundle import Bundle, EtcdPart, NodePart, Pair
from hactl.setup.plan import Host, Plan, make_plan
from tests.support.certificates import KEY, LONG, SHORT

NODES = ("n1=10.0.0.11", "n2=10.0.0.12", "n3=10.0.0.13")
N1, N2, N3 = (Host(f"n{number}", f"10.0.0.1{number}") for number in (1, 2, 3))
PAIR = Pair(SHORT, KEY)
CLUSTER_KEY = "0123456789abcdef0123456789abcdef\n"


def plan(*nodes: str, **given: object) -> Plan:
    """The plan of a cluster `prod`."""
    return make_plan("prod", nodes or NODES, token="token", **given)  # type: ignore[arg-type]


def bundle(host: Host = N2, of: Plan | None = None) -> Bundle:
    """A machine's bundle, made at second 1,000,000,000."""
    whole = of or plan()
    etcd = None if whole.etcd else EtcdPart(whole.members, whole.token, LONG, PAIR, PAIR)
    node = NodePart(whole.endpoints(host), CLUSTER_KEY, LONG, PAIR, PAIR) if host in whole.nodes else None
    return Bundle(whole.cluster, host, 1e9, etcd, node, whole.profile)
