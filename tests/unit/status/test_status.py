"""The status document: what is said of the cluster in each state, and what an operator is told to do."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from election.observer import Observer
from election.records import GENERATION_BITS, Failure, Flapping, Move
from election.store import Snapshot
from fencing.topology import Level, NodeFencing, Target, Topology
from hactl.decide import node
from hactl.decide.phases import LONGEST_LIST_MS
from hactl.model import effects, events
from hactl.status import document as status
from hactl.status.local import Local, local_facts
from tests.support.scene import KEYS, LEASE_MS, Scene, at
from tests.support.stand_in import node_state


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n1")
    scene.own("database", "n2")
    return scene


def local(**more: Any) -> Local:
    return Local(**{"phase": "live", "lease_left_ms": 3000, "guard_ready": True, **more})


def document(scene: Scene, **more: Any) -> dict[str, Any]:
    shown = status.status(scene.view, scene.spec, "n2", **{"health": scene.health, **more})
    assert json.loads(json.dumps(shown)) == shown
    return shown


def group(scene: Scene, name: str, **more: Any) -> dict[str, Any]:
    return next(entry for entry in document(scene, **more)["groups"] if entry["name"] == name)


def told(scene: Scene, **more: Any) -> list[tuple[str, str, str]]:
    return [(warning["level"], warning["what"], warning["do"]) for warning in document(scene, **more)["warnings"]]


def test_a_cluster_that_is_well(scene: Scene) -> None:
    shown = document(scene, local=local())
    assert shown["warnings"] == []
    assert [(entry["name"], entry["state"], entry["runs"], entry["me"]) for entry in shown["nodes"]] == [
        ("n1", "online", ["vip"], False),
        ("n2", "online", ["database"], True),
        ("n3", "online", [], False),
    ]
    assert shown["config"]["serial"] == 1 and shown["config"]["by"] == "test"
    assert shown["generation"] == 1


def test_a_group_that_runs(scene: Scene) -> None:
    scene.own("vip", "n1", epoch=(3 << GENERATION_BITS) + 42)
    vip = group(scene, "vip")
    assert (vip["state"], vip["owner"], vip["generation"], vip["number"]) == ("running", "n1", 3, 42)
    assert vip["vips"] == ["10.0.0.30/24"]
    assert vip["resources"] == [{"name": "address", "kind": "vip", "health": "running"}]
    assert vip["waiting"] == ""


@pytest.mark.parametrize("phase", ["running", "starting", "stopping", "blocked", "failed", "unknown"])
def test_the_owner_says_how_it_is(scene: Scene, phase: str) -> None:
    scene.own("vip", "n1", phase=phase)
    assert group(scene, "vip")["state"] == phase


def test_an_owners_report_of_an_earlier_ownership_does_not_count(scene: Scene) -> None:
    scene.own("vip", "n1", epoch=9)
    scene.report("n1", {"vip": {"phase": "running", "epoch": 7, "resources": {}}})
    assert group(scene, "vip")["state"] == "starting"


def test_a_handoff(scene: Scene) -> None:
    scene.own("vip", "n3", epoch=9, state="handoff", holders=(scene.holder("n1"),))
    vip = group(scene, "vip")
    assert (vip["state"], vip["owner"], vip["holders"]) == ("handoff", "n3", ["n1"])
    assert ("notice", "group vip is being handed over; it starts on n3", "wait; `hactl status --watch`") in told(scene)


def test_an_owner_that_was_lost(scene: Scene) -> None:
    scene.kill("n1")
    vip = group(scene, "vip")
    assert (vip["state"], vip["waiting"]) == ("lost", "waiting for n1: its lease to be over")
    observer = Observer(250, 1000)
    observer.on_fence("n1", scene.view.fences["n1"].record, at(0))
    late = at(LEASE_MS * 1.03)
    assert group(scene, "vip", observer=observer, now=late)["waiting"] == "n2 will take it"
    assert document(scene)["nodes"][0]["state"] == "fence_pending"


def test_a_group_that_needs_fencing_says_what_to_do(scene: Scene) -> None:
    scene.kill("n2")
    level, text, todo = told(scene)[0]
    assert level == "error" and "group database does not run" in text and "'hactl fence confirm'" in text
    assert todo == "make sure n2 is off, then `hactl fence confirm n2`"


def test_a_group_that_is_held(scene: Scene) -> None:
    scene.put(KEYS.flapping("vip"), Flapping((3, 5, 7), "n1", "no link"))
    scene.own("vip", "n2")
    assert group(scene, "vip")["held"] is None
    scene.own("vip", "n1")
    assert (
        "error",
        "GROUP vip IS HELD ON n1: it was moved 3 times within 10m by its failures, so it stays there and is restarted "
        "every 30s (no link)",
        "repair it, then `hactl group cleanup vip`",
    ) in told(scene)


def test_a_group_that_may_run_nowhere(scene: Scene) -> None:
    scene.own("database", "n2", state="released")
    for name in ("n1", "n2"):
        scene.put(KEYS.standby(name), "anna")
    database = group(scene, "database")
    assert database["state"] == "released"
    assert database["waiting"].startswith("no node may run it: n3: not in the group's nodes; n1: in standby")
    assert any(level == "error" and todo == "`hactl node online n1`" for level, _, todo in told(scene))


def test_a_group_that_could_run_nowhere_else(scene: Scene) -> None:
    scene.kill("n1", state="safe")
    assert (
        "warning",
        "group database runs on n2 and could run nowhere else",
        "n3: not in the group's nodes; n1: no live session",
    ) in told(scene)


@pytest.mark.parametrize(
    ("change", "level", "part"),
    [
        (lambda scene: scene.delete(KEYS.identity), "error", "the store holds no cluster"),
        (lambda scene: scene.put(KEYS.group("vip"), "{"), "error", "groups/vip cannot be read"),
        (lambda scene: scene.own("vip", "n1", phase="blocked"), "error", "vip cannot be stopped on n1"),
        (lambda scene: scene.own("vip", "n1", phase="failed"), "error", "vip has failed on n1"),
        (lambda scene: scene.put(KEYS.standby("n3"), "a"), "notice", "node n3 is in standby"),
        (lambda scene: scene.kill("n3", state="safe"), "warning", "node n3 takes no part"),
        (lambda scene: scene.kill("n3", generation=2), "error", "node n3 has not reported since `hactl recover`"),
        (lambda scene: scene.join("n4"), "warning", "node n4 is not in the configuration"),
        (lambda scene: scene.own("vip", "n1", reason="x") or scene.put(KEYS.config, "{}"), "warning", "newest"),
        (lambda scene: scene.put(KEYS.maintenance("vip"), "a"), "warning", "GROUP vip IS IN MAINTENANCE"),
        (lambda scene: scene.put(KEYS.maintenance("*"), "{}"), "warning", "EVERYTHING IS IN MAINTENANCE"),
        (
            lambda scene: scene.put(KEYS.node_maintenance("n1"), "{}"),
            "warning",
            "NODE n1 IS IN MAINTENANCE: hactl ",
        ),
        (lambda scene: scene.own("vip", "n1", state="unmanaged"), "notice", "vip was left alone on n1"),
        (
            lambda scene: scene.own("vip", "n1", state="unmanaged") or scene.kill("n1"),
            "error",
            "not looked after yet: waiting for n1: it may run there still",
        ),
        (
            lambda scene: scene.put(KEYS.failure("vip", "n3"), Failure(3, "address", "gone")),
            "warning",
            "vip is kept off n3: address: gone",
        ),
        (
            lambda scene: scene.put(KEYS.move("vip"), Move("i", "n3", "n1", 5, "anna")),
            "notice",
            "vip will move from n1 to n3 (by anna)",
        ),
    ],
)
def test_warnings_from_the_store(scene: Scene, change: Any, level: str, part: str) -> None:
    assert not any(part in text for _, text, _ in told(scene))
    change(scene)
    matching = [warning for warning in told(scene) if part in warning[1]]
    assert matching and matching[0][0] == level and matching[0][2]


@pytest.mark.parametrize(
    ("facts", "level", "part"),
    [
        ({"refused": "of another history"}, "error", "takes no part: of another history"),
        ({"store_away": True}, "error", "etcd does not answer"),
        ({"phase": "listing"}, "warning", "has not read the store yet"),
        ({"guard_ready": False}, "error", "guard does not hold"),
        ({"config_problem": "bad"}, "error", "cannot be used here: bad"),
        (
            {"watchdog": {"use": "required", "armed": False, "problem": "No such device"}},
            "error",
            "watchdog is not armed, and this node requires one to own anything: No such device",
        ),
        ({"watchdog": {"use": "use", "armed": False, "problem": ""}}, "warning", "watchdog is not armed: not yet"),
        ({"events_dropped": 3}, "warning", "3 events were not written"),
        ({"unasked": "there is no key"}, "warning", "guards are not asked before their nodes are fenced"),
        ({"silent_ms": {"n3": 2500}}, "warning", "node n3 has been silent for 2.5 s"),
    ],
)
def test_warnings_from_a_daemon(scene: Scene, facts: dict[str, Any], level: str, part: str) -> None:
    assert told(scene, local=local()) == []
    matching = [warning for warning in told(scene, local=local(**facts)) if part in warning[1]]
    assert [warning[0] for warning in matching] == [level] and matching[0][2]


def test_the_worst_comes_first(scene: Scene) -> None:
    scene.put(KEYS.standby("n3"), "anna")
    scene.kill("n2")
    levels = [level for level, _, _ in told(scene)]
    assert levels == sorted(levels, key=["error", "warning", "notice"].index) and len(set(levels)) == 3


def test_the_mark_is_another_when_something_changed_and_the_same_when_somebody_renewed(scene: Scene) -> None:
    before = scene.view.mark()
    session = scene.view.sessions["n1"].record
    scene.put(KEYS.node("n1"), session)
    assert scene.view.mark() == before
    scene.put(KEYS.standby("n3"), "anna")
    assert scene.view.mark() != before


def test_what_a_daemon_knows(scene: Scene) -> None:
    state = node_state(scene.spec)
    scene.kill("n1")
    state.view.load(scene.store.snapshot(KEYS.prefix, timeout_s=1))
    state.observer.on_fence("n1", state.view.fences["n1"].record, at(1000))
    state.observer.on_session("n3", state.view.sessions["n3"], at(1500))
    state.store_away = True
    facts = local_facts(state, at(2000), events_dropped=2)
    assert facts.fence_left_ms == {"n1": round(LEASE_MS * 1.025 - 1000)}
    assert facts.silent_ms == {"n3": 500}
    assert facts.store_away and facts.events_dropped == 2 and facts.lease_left_ms == 0


FULL = {"code": "full", "level": "error", "what": "etcd is full", "do": "`etcdctl alarm disarm`"}
FEW = {"code": "few_members", "level": "notice", "what": "etcd has one member", "do": "add members"}


def test_while_etcd_is_away_only_its_own_state_is_told_as_of_now(scene: Scene) -> None:
    scene.kill("n1")
    away = local(store_away=True, silent_ms={"n3": 90_000})
    etcd = {"problems": [FULL], "etcdctl": "x"}
    assert told(scene, local=away, etcd=etcd, stale_ms=12_400) == [("error", "etcd is full", "`etcdctl alarm disarm`")]
    shown = document(scene, local=away, etcd=etcd, stale_ms=12_400)
    assert [(entry["name"], entry["state"]) for entry in shown["nodes"]] == [
        (f"n{number}", "unknown") for number in (1, 2, 3)
    ]
    assert {entry["state"] for entry in shown["groups"]} == {"unknown"}
    assert [entry["waiting"] for entry in shown["groups"]] == ["12 s ago: lost", "12 s ago: running"]


def test_that_etcd_does_not_answer_is_said_where_nothing_explains_it(scene: Scene) -> None:
    etcd = {"problems": [FEW], "etcdctl": "etcdctl --endpoints=http://a:1"}
    (first, second) = told(scene, local=local(store_away=True), etcd=etcd, stale_ms=100)
    assert told(scene, etcd=etcd, stale_ms=100) == [first, second]  # without a daemon
    assert first[:2] == ("error", "etcd does not answer this node in time") and second[1] == FEW["what"]
    assert first[2].startswith("`etcdctl --endpoints=http://a:1 endpoint status -w table`")


def test_a_failing_list_is_told(scene: Scene) -> None:
    state = node_state(scene.spec)
    for number in (1, 2):
        state.listing = number
        node.step(state, events.ListFailed(number, "a:1: no answer within the deadline"), at(number))
    endpoint = {"endpoint": "a:1", "reads": True}
    etcd = {"problems": [], "etcdctl": "etcdctl --endpoints=http://a:1", "endpoints": [endpoint]}
    facts = local_facts(state, at(0))
    (level, text, todo), *_ = told(scene, local=facts, etcd=etcd)
    assert level == "error" and text.endswith(
        "cannot list what is below /hactl/demo/: a:1: no answer within the deadline"
    )
    assert todo.startswith("`etcdctl --endpoints=http://a:1 get --prefix --keys-only /hactl/demo/` shows")
    # What is refused is another matter than what is too much.
    refused = replace(facts, list_problem="a:1: etcdserver: permission denied")
    (level, text, todo), *_ = told(scene, local=refused, etcd=etcd)
    assert text == "etcd refuses this node's requests: a:1: etcdserver: permission denied" and "`etcd_user`" in todo
    # Where etcd answers nobody there is nothing to be counted.
    endpoint["reads"] = False
    assert told(scene, local=facts, etcd=etcd)[0][1] == "etcd does not answer this node in time"


def test_a_list_has_the_longer_the_more_of_them_have_failed(scene: Scene) -> None:
    """There may be more below the prefix than comes within half a second."""
    state = node_state(scene.spec)
    state.need_list, limits, now = True, list[float](), 0.0
    for _ in range(6):
        now += 60_000
        (relist,) = (
            effect for effect in node.step(state, events.Tick(), at(now)).effects if isinstance(effect, effects.Relist)
        )
        limits.append(relist.timeout_ms)
        node.step(state, events.ListFailed(relist.id, "no answer"), at(now + 1))
    assert limits[0] == 500 and limits == sorted(limits) and limits[3:] == [4000, LONGEST_LIST_MS, LONGEST_LIST_MS]
    (relist,) = (
        effect
        for effect in node.step(state, events.Tick(), at(now + 60_000)).effects
        if isinstance(effect, effects.Relist)
    )
    node.step(state, events.Listed(relist.id, Snapshot(5, ())), at(now + 60_001))
    assert state.lists_failed == 0 and state.list_problem == ""


def test_what_is_wrong_with_etcd_is_told_while_it_answers(scene: Scene) -> None:
    dead = {"code": "endpoint_dead", "level": "warning", "what": "an endpoint", "do": "start it"}
    etcd = {"problems": [dead], "etcdctl": "x"}
    assert told(scene, local=local(), etcd=etcd) == [("warning", "an endpoint", "start it")]


def test_that_guards_are_not_asked_is_told_where_nodes_can_be_fenced(scene: Scene) -> None:
    state = node_state(scene.spec)
    assert state.cluster is not None
    assert local_facts(state, at(0), asking_problem="there is no key").unasked == ""
    switch = NodeFencing((Level((Target("switch", "n1"),)),))
    state.cluster = replace(state.cluster, fencing=Topology(nodes={"n1": switch}))
    assert local_facts(state, at(0), asking_problem="there is no key").unasked == "there is no key"
    assert local_facts(state, at(0)).unasked == ""


def test_without_a_configuration_there_is_a_document_all_the_same(scene: Scene) -> None:
    shown = status.status(scene.view, None, "n2", config_problem="format 9")
    assert [entry["name"] for entry in shown["groups"]] == ["database", "vip"]
    assert any("format 9" in entry["what"] for entry in shown["warnings"])


def test_an_empty_store() -> None:
    scene = Scene()
    for key in (KEYS.identity, KEYS.config):
        scene.delete(key)
    shown = status.status(scene.view, None, "")
    assert shown["warnings"][0]["what"] == "the store holds no cluster"
