"""What the operator may write, and what is refused with which reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from election.memory_store import MemoryStore
from election.records import Block, Confirm, Failure, Flapping, Move, ReadinessReport, Report
from election.store import StoreTimeoutError, Txn, TxnResult
from hactl.admin import fencing, groups, identity, moves, nodes
from hactl.admin.config import first_document
from hactl.admin.errors import NoSuchError, RefusedError, WaitError
from tests.support.scene import KEYS, LEASE_MS, NO_STATE, Scene, fenced


def failover(scene: Scene, group: str, to: str = "") -> Move:
    return moves.failover(scene.store, scene.view, scene.spec, group, to, "anna@n3")[0]


class LostAnswers(MemoryStore):
    """Every transaction is carried out, and no answer comes."""

    def txn(self, txn: Txn, *, timeout_s: float) -> TxnResult:
        super().txn(txn, timeout_s=timeout_s)
        raise StoreTimeoutError("no answer")


def test_init_is_refused_where_there_is_a_cluster(scene: Scene) -> None:
    before = scene.view.identity
    with pytest.raises(RefusedError, match="there is a cluster `demo` in this store already"):
        identity.init(scene.store, "demo", "{}", NO_STATE)
    assert scene.view.identity == before


def test_init_is_refused_where_an_identity_was_lost(scene: Scene) -> None:
    scene.delete(KEYS.identity)
    with pytest.raises(RefusedError, match="hactl recover"):
        identity.init(scene.store, "demo", "{}", NO_STATE)


def test_init_keeps_the_first_configuration_in_the_history(scene: Scene) -> None:
    kept, _ = scene.store.get(KEYS.config_history(1), timeout_s=1)
    used, _ = scene.store.get(KEYS.config, timeout_s=1)
    assert kept is not None and used is not None and kept.value == used.value


def test_init_whose_answer_is_lost_has_begun_the_cluster() -> None:
    store = LostAnswers()
    begun = identity.init(store, "demo", "{}", NO_STATE)
    stored, _ = store.get(KEYS.identity, timeout_s=1)
    assert stored is not None and begun.uuid in stored.value


def test_failover_writes_a_wish_for_this_session_of_the_owner(scene: Scene) -> None:
    move = failover(scene, "vip", "n3")
    assert scene.move("vip") == move
    assert (move.to, move.from_node, move.from_session_revision, move.by) == (
        "n3",
        "n1",
        scene.holder("n1").session_revision,
        "anna@n3",
    )


def test_a_later_wish_replaces_an_earlier_one(scene: Scene) -> None:
    first = failover(scene, "vip", "n3")
    second = failover(scene, "vip", "n2")
    assert scene.move("vip") == second
    assert not moves.withdraw(scene.store, KEYS, "vip", first.id)
    assert moves.withdraw(scene.store, KEYS, "vip", second.id)
    assert scene.move("vip") is None
    assert not moves.withdraw(scene.store, KEYS, "vip", second.id)


@pytest.mark.parametrize(
    ("group", "to", "reason", "kind"),
    [
        ("vpi", "", "no group `vpi`; did you mean `vip`?", NoSuchError),
        ("vip", "n9", "no node `n9`", NoSuchError),
        ("vip", "n1", "is on n1 already", RefusedError),
        ("database", "n3", "may not run on n3: not in the group's nodes", RefusedError),
    ],
)
def test_failover_is_refused(scene: Scene, group: str, to: str, reason: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=reason):
        failover(scene, group, to)
    assert scene.move("vip") is None and scene.move("database") is None


def test_failover_is_refused_to_a_node_that_may_not_run_it(scene: Scene) -> None:
    scene.put(KEYS.standby("n2"), "somebody")
    with pytest.raises(RefusedError, match="may not run on n2: in standby"):
        failover(scene, "vip", "n2")
    with pytest.raises(RefusedError, match=r"no other node may run group database: n3: .*; n2: in standby"):
        failover(scene, "database")
    scene.delete(KEYS.standby("n2"))
    scene.put(KEYS.failure("database", "n2"), Failure(3, "mariadb", "exit status 1"))
    with pytest.raises(RefusedError, match="mariadb failed 3 times: exit status 1"):
        failover(scene, "database")


def test_failover_is_refused_to_a_node_that_the_group_would_leave_again(scene: Scene) -> None:
    def is_poor(*names: str) -> None:
        for name in names:
            report = scene.view.reports[name].record if name in scene.view.reports else Report(f"s-{name}", 1)
            poor = {"vip": ReadinessReport(level="poor", why="HAProxy does not run")}
            scene.put(
                KEYS.report(name),
                replace(report, session_id=scene.view.sessions[name].record.session_id, readiness=poor),
            )

    is_poor("n3")
    with pytest.raises(RefusedError, match="n3 is not well for group vip, which would leave it again: HAProxy does"):
        failover(scene, "vip", "n3")
    assert scene.move("vip") is None
    failover(scene, "vip")
    is_poor("n2")
    with pytest.raises(RefusedError, match="is not well for group vip"):
        failover(scene, "vip")
    is_poor("n1")
    assert failover(scene, "vip", "n3").to == "n3"  # nowhere is it better


def test_to_name_a_node_says_that_it_is_repaired(scene: Scene) -> None:
    scene.put(KEYS.failure("database", "n2"), Failure(3, "mariadb", "exit status 1"))
    scene.put(KEYS.failure("vip", "n2"), Failure(3, "address", "no link"))
    failover(scene, "database", "n2")
    assert list(scene.view.failures) == ["vip/n2"]
    assert scene.move("database") is not None


def test_cleanup_forgets_failures_and_the_block(scene: Scene) -> None:
    for node in ("n1", "n2"):
        scene.put(KEYS.failure("database", node), Failure(3, "mariadb", "exit status 1"))
    scene.put(KEYS.failure("vip", "n2"), Failure(3, "address", "no link"))
    scene.put(KEYS.blocked("database"), Block("n1", "s", "mariadb", "it hangs"))
    done = groups.cleanup(scene.store, scene.view, scene.spec, "database", "n2", "anna")
    assert done == (["n2"], False, False)
    assert sorted(scene.view.failures) == ["database/n1", "vip/n2"]
    assert groups.cleanup(scene.store, scene.view, scene.spec, "database", "", "anna") == (["n1"], True, False)
    assert (sorted(scene.view.failures), scene.view.blocks) == (["vip/n2"], {})
    assert scene.view.cleanups["database"].record.by == "anna"
    with pytest.raises(NoSuchError, match="no group `databse`; did you mean `database`"):
        groups.cleanup(scene.store, scene.view, scene.spec, "databse", "", "anna")
    with pytest.raises(NoSuchError, match="no node `n9`"):
        groups.cleanup(scene.store, scene.view, scene.spec, "database", "n9", "anna")


@pytest.mark.parametrize(("node", "freed", "left"), [("", True, []), ("n1", True, []), ("n2", False, ["vip"])])
def test_cleanup_lets_a_held_group_go(scene: Scene, node: str, freed: bool, left: list[str]) -> None:
    scene.put(KEYS.flapping("vip"), Flapping((3, 5), "n1", "no link"))
    assert groups.cleanup(scene.store, scene.view, scene.spec, "vip", node, "anna") == ([], False, freed)
    assert list(scene.view.flapping) == left


def test_failover_is_refused_where_nobody_can_hand_it_over(scene: Scene) -> None:
    scene.own("vip", "n2", state="handoff")
    with pytest.raises(RefusedError, match="on its way to n2 already"):
        failover(scene, "vip")
    scene.own("vip", "n1", state="released")
    with pytest.raises(RefusedError, match="runs nowhere"):
        failover(scene, "vip")
    scene.own("vip", "n1", state="unmanaged")
    with pytest.raises(RefusedError, match="left alone"):
        failover(scene, "vip")
    scene.kill("n1")
    with pytest.raises(RefusedError, match="n1, which has group database, is lost"):
        failover(scene, "database")


def test_failover_holds_only_on_what_was_looked_at(scene: Scene) -> None:
    view = scene.view
    scene.own("vip", "n2", epoch=8)
    with pytest.raises(RefusedError, match="changed meanwhile"):
        moves.failover(scene.store, view, scene.spec, "vip", "n3", "anna")
    assert scene.move("vip") is None


def test_nothing_is_written_into_another_history(scene: Scene) -> None:
    view = scene.view
    scene.put(KEYS.identity, '{"uuid":"another","generation":2}')
    with pytest.raises(RefusedError):
        moves.failover(scene.store, view, scene.spec, "vip", "n3", "anna")
    with pytest.raises(RefusedError):
        nodes.standby(scene.store, view, scene.spec, "n3", "anna")
    assert scene.move("vip") is None and not scene.view.standby


def test_standby_that_would_stop_a_group_wants_force(scene: Scene) -> None:
    scene.kill("n2", state="safe")
    with pytest.raises(RefusedError, match="no other node may run database"):
        nodes.standby(scene.store, scene.view, scene.spec, "n1", "anna")
    assert not scene.view.standby
    nodes.standby(scene.store, scene.view, scene.spec, "n1", "anna", force=True)
    assert scene.view.standby


def confirm(scene: Scene, node: str, left: float = 0.0) -> str:
    return fencing.confirm(scene.store, scene.view, scene.spec, node, "anna@n2", left)


def test_confirm_takes_the_operators_word_for_this_session_alone(scene: Scene) -> None:
    scene.kill("n1")
    before = scene.view.fences["n1"].record
    assert confirm(scene, "n1") == "s-n1"
    after = scene.view.fences["n1"].record
    assert (after.state, after.evidence, after.by, after.session_id, after.session_revision) == (
        "safe", "confirmed", "anna@n2", before.session_id, before.session_revision,
    )  # fmt: skip
    assert confirm(scene, "n1") == "s-n1"  # asked again, as by a command that waits for the daemons
    with pytest.raises(RefusedError, match=r"already \(confirmed, by anna@n2\)"):
        fencing.confirm(scene.store, scene.view, scene.spec, "n1", "berta", 0.0)


def test_confirm_is_refused_while_it_may_be_alive(scene: Scene) -> None:
    with pytest.raises(RefusedError, match="alive"):
        confirm(scene, "n1")
    with pytest.raises(NoSuchError):
        confirm(scene, "n9")
    scene.kill("n1")
    with pytest.raises(WaitError, match="may be alive") as waiting:
        confirm(scene, "n1", 1200.0)
    assert waiting.value.wait_ms == 1200.0
    assert scene.view.fences["n1"].record.state == "pending"


def test_a_word_given_while_a_device_acts_is_carried_out_by_the_daemons(scene: Scene) -> None:
    scene.kill("n1", state="acting", executor="n3/s-n3", action_ms=10_000)
    for _ in range(2):
        with pytest.raises(WaitError, match="a fence device is being used on n1: n3 ends its attempt"):
            confirm(scene, "n1")
    assert scene.view.confirms["n1"].record == Confirm("s-n1", "anna@n2")
    assert scene.view.fences["n1"].record.state == "acting"
    scene.kill("n3")
    with pytest.raises(WaitError, match="n3, which used it, is gone: in 10 s at most it cannot hit any more"):
        confirm(scene, "n1")


def test_where_no_node_is_alive_the_time_of_the_action_is_awaited(scene: Scene) -> None:
    scene.kill("n1", state="acting", executor="n3/s-n3", action_ms=10_000)
    for name in ("n2", "n3"):
        scene.kill(name)
    with pytest.raises(WaitError, match=r"for another 2.5 s, and no node is alive that could end that"):
        fencing.confirm(scene.store, scene.view, scene.spec, "n1", "anna", 0.0, 2500.0)
    assert fencing.confirm(scene.store, scene.view, scene.spec, "n1", "anna", 0.0, 0.0) == "s-n1"
    assert scene.view.fences["n1"].record.evidence == "confirmed"


DEVICE = "{name: switch, agent: fence_dummy, timeout: 2s, status_timeout: 1s}"


def test_a_node_that_is_known_to_be_stopped_is_switched_on() -> None:
    scene = Scene(cluster=fenced(DEVICE))
    scene.join("n1", "n2", "n3")

    def on() -> str:
        return fencing.fence(scene.store, scene.view, scene.spec, "n1", "on", "anna")

    with pytest.raises(RefusedError, match="n1 is on: it has a session"):
        on()
    scene.kill("n1")
    with pytest.raises(RefusedError, match="n1 is not known to be stopped"):
        on()
    scene.join("n1")
    scene.kill("n1", state="safe", evidence="off", executor="n3/s-n3")
    assert on() == "on"
    record = scene.view.fences["n1"].record
    assert (record.state, record.power, record.executor) == ("safe", "off", "")


def test_confirm_does_not_hit_a_session_that_came_meanwhile(scene: Scene) -> None:
    scene.kill("n1")
    view = scene.view
    scene.join("n1")
    with pytest.raises(RefusedError, match="changed meanwhile"):
        fencing.confirm(scene.store, view, scene.spec, "n1", "anna", 0.0)
    assert scene.view.fences["n1"].record.state == "pending"


def test_recover_begins_anew_above_all_that_is_known(scene: Scene) -> None:
    names = [node.name for node in scene.spec.nodes]
    assert identity.recover(scene.store, scene.view, 4, names, LEASE_MS, "") == 5
    view = scene.view
    assert view.identity is not None and view.identity.record.generation == 5
    assert not view.sessions
    assert {name: fence.record.state for name, fence in view.fences.items()} == dict.fromkeys(names, "pending")
    assert all(fence.record.generation == 5 for fence in view.fences.values())


def test_recover_of_a_wiped_store_wants_a_configuration() -> None:
    scene = Scene()
    document = first_document(scene.spec, by="anna")
    for key in (KEYS.identity, KEYS.config):
        scene.delete(key)
    with pytest.raises(RefusedError, match="CLUSTER_YAML"):
        identity.recover(scene.store, scene.view, 1, ["n1"], LEASE_MS, "")
    assert identity.recover(scene.store, scene.view, 1, ["n1"], LEASE_MS, document) == 2
    assert scene.view.config is not None
