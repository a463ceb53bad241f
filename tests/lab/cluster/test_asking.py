"""A peer's guard is asked from another node, with the cluster's key, which all of them have."""

from __future__ import annotations

import asyncio
import functools
import os
import signal

import pytest

from hactl.config.node import load_node
from hactl.daemon.parts.guard_asker import GuardAsker
from hactl.lab import files, netns
from hactl.model.events import GuardReplied

from .whole import DEADLINE_S, Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]


def ask(cluster: Cluster, asking: str, asked: str, session_id: str, deadline_s: float = DEADLINE_S) -> GuardReplied:
    """As the daemon of `asking` would, several times. Raises TimeoutError."""

    async def until_told() -> GuardReplied:
        config = load_node(files.node_toml(cluster.lab.spec, cluster.node(asking).station))
        told: asyncio.Queue[GuardReplied] = asyncio.Queue()
        asker = GuardAsker(config, told.put_nowait)
        assert asker.problem == ""
        try:
            async with asyncio.timeout(deadline_s):
                while True:
                    asker.ask(asked, cluster.node(asked).station.address, session_id)
                    try:
                        return await asyncio.wait_for(told.get(), 0.1)
                    except TimeoutError:
                        continue
        finally:
            asker.close()

    return netns.inside(cluster.lab.spec.namespace(asking), functools.partial(asyncio.run, until_told()))


def test_a_guard_says_that_it_holds_its_frozen_daemons_deadline(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    other = cluster.others(owner)[0]
    session_id = cluster.store.view().sessions[owner].record.session_id
    assert ask(cluster, other, owner, session_id) == GuardReplied(owner, session_id, True)
    assert ask(cluster, other, owner, "no-such-session") == GuardReplied(owner, "no-such-session", False)
    pid = cluster.node(owner).daemon_pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    assert ask(cluster, other, owner, session_id) == GuardReplied(owner, session_id, True)
    # It lets the deadline fall, and holds that of the next daemon's session then.
    cluster.await_stopped(owner)
    cluster.await_live(owner)
    cluster.await_all_running()
    cluster.until(lambda: not ask(cluster, other, owner, session_id).holds, "it holds another session")


def test_a_frozen_node_does_not_answer(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    other = cluster.others(owner)[0]
    session_id = cluster.store.view().sessions[owner].record.session_id
    assert ask(cluster, other, owner, session_id).holds
    cluster.node(owner).freeze()
    try:
        with pytest.raises(TimeoutError):
            ask(cluster, other, owner, session_id, 0.3)
    finally:
        cluster.node(owner).thaw()
    cluster.await_all_running()
