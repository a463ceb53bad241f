"""A machine is not its disk: a copy of a node takes no part beside it, says so, and never vouches for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .copies import ADDRESS, Copy
from .status_document import has_warning
from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]


@pytest.fixture(autouse=True)
def forgotten(cluster: Cluster) -> Iterator[None]:
    """The warning of a refused machine, shown for ten minutes, is gone before the next test."""
    yield
    cluster.store.delete(cluster.store.keys.prefix + "refused/")


def warned(cluster: Cluster, asked: str, words: str) -> bool:
    return has_warning(cluster.status(asked), words)


def test_a_copy_ends_and_all_are_told_and_it_never_vouches_for_the_original(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    other = cluster.others(owner)[0]
    session_id = cluster.store.view().sessions[owner].record.session_id
    with Copy(cluster, cluster.node(owner)) as copy:
        copy.start()
        cluster.until(lambda: copy.ended() is not None, "the copy ends")
        assert copy.ended() == 2
        assert f"node name '{owner}' is in use by another machine, at {cluster.node(owner).address}" in copy.said()
        for asked in (owner, other):
            cluster.until(
                lambda asked=asked: warned(cluster, asked, f"a second machine with the name {owner} was refused"),
                "status tells",
            )  # type: ignore[misc]
        cluster.await_event(owner, "machine_refused")
        assert cluster.store.view().sessions[owner].record.session_id == session_id
        # Now the original is cut off from etcd, and the copy is started again, as by an operator who did not read.
        cluster.lab.partition(owner, "etcd")
        copy.start()
        cluster.await_all_running(cluster.others(owner))
        cluster.until(lambda: "session_not_mine" in copy.said(), "the copy does not vouch for it")
        fence = cluster.store.view().fences[owner].record
        assert (fence.session_id, fence.state) == (session_id, "pending") and fence.by in cluster.others(owner)
        assert f"`hactl fence confirm {owner}`" in copy.said()
        copy.stop()
    cluster.lab.heal()
    cluster.await_live(owner)
    assert cluster.store.view().fences[owner].record.evidence == "self-stop"


def test_a_copy_with_the_same_address_asks_for_it_and_is_answered(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    address, others = cluster.node(owner).address, cluster.others(owner)
    session_id = cluster.store.view().sessions[owner].record.session_id
    cluster.lab.partition(owner, "etcd")
    cluster.await_all_running(others)
    with Copy(cluster, cluster.node(owner), ADDRESS, address) as copy:
        copy.start()
        cluster.until(lambda: "original_answers" in copy.said(), "the original answers")
        cluster.until(lambda: warned(cluster, others[0], f"another machine answers for its address {address}"), "told")
        fence = cluster.store.view().fences[owner].record
        assert (fence.session_id, fence.state) == (session_id, "pending") and copy.ended() is None
        copy.stop()
    cluster.lab.heal()
    cluster.await_live(owner)


def test_the_machine_itself_is_back_after_a_reset_without_anybodys_word(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    before = cluster.store.view().sessions[owner].record
    secret = (cluster.node(owner).home / "state" / "machine-secret").read_text()
    cluster.lab.kill(owner)
    cluster.await_all_running(cluster.others(owner))
    cluster.lab.start(owner)
    cluster.await_live(owner)
    view = cluster.store.view()
    fence, now = view.fences[owner].record, view.sessions[owner].record
    assert (fence.session_id, fence.state, fence.evidence) == (before.session_id, "safe", "reboot")
    assert now.machine == before.machine != "" and now.boot_id != before.boot_id
    assert (cluster.node(owner).home / "state" / "machine-secret").read_text() == secret
    assert not cluster.events(owner, "original_answers")
