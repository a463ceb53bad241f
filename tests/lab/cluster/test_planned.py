"""Planned work as an operator types it: waiting for it, and what each command leaves behind."""

from __future__ import annotations

import pytest

from hactl.lab.system import LabError

from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]


def test_standby_returns_when_nothing_is_left_and_wait_sees_it(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    other = cluster.others(owner)[0]
    cluster.overlap_planned = True
    said = cluster.hactl(owner, "node", "standby", owner, "--drain-timeout", "0s")
    view = cluster.store.view()
    assert owner not in {group.record.node for group in view.groups.values()}, said
    assert all(not group.record.holders for group in view.groups.values()), said
    assert f"no group is on {owner}" in said
    cluster.hactl(other, "wait", f"{owner}=standby", "settled", "vip=running", "--for", "30s")
    with pytest.raises(LabError, match=rf"exit 3: .*{owner} is standby"):
        cluster.hactl(other, "wait", f"{owner}=online", "--for", "1s")
    cluster.hactl(other, "node", "online", owner)
    cluster.hactl(other, "wait", f"{owner}=online", "settled", "--for", "30s")
