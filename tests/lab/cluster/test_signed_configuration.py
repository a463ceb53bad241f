"""A user who can write to etcd cannot have programs run: no node uses a configuration that is not signed with the
cluster's key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hactl.lab.spec import SERVICE_VIP

from .status_document import has_warning
from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]


def forge(cluster: Cluster, change: dict[str, Any]) -> None:
    """Write the configuration in use to etcd with a change, like somebody with access to etcd but without the key."""
    kv = cluster.store.get(cluster.store.keys.config)
    assert kv is not None
    stored = {**json.loads(kv.value), **change}
    cluster.store.put(cluster.store.keys.config, json.dumps(stored))


def said(cluster: Cluster, node: str, words: str) -> bool:
    """Whether the node's status has an error with these words."""
    return has_warning(cluster.status(node), words, level="error")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signature": ""}, "is not signed with the cluster's key"),
        ({"serial": 10_000}, "was altered after it was signed"),
        ({"document": {"cluster": "evil"}}, "was altered after it was signed"),
    ],
    ids=["unsigned", "serial", "document"],
)
def test_an_unsigned_configuration_is_used_by_no_node(cluster: Cluster, change: dict[str, Any], words: str) -> None:
    groups = cluster.store.view().groups
    cluster.begin()
    forge(cluster, change)
    for node in cluster.nodes:
        cluster.until(lambda node=node: said(cluster, node, words), f"{node} says what is wrong")  # type: ignore[misc]
    assert cluster.store.view().groups == groups
    assert cluster.changes(SERVICE_VIP) == []
    cluster.node("n1").kill_daemon()  # the next one goes on with the last good one, from its disk
    cluster.until(lambda: said(cluster, "n1", words), "it is said after a restart, too")
    cluster.await_all_running()
    cluster.apply(cluster.base)
    for node in cluster.nodes:
        cluster.until(lambda node=node: not said(cluster, node, words), f"{node} is well")  # type: ignore[misc]
