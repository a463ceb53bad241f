"""What groups require of the HAProxy on their node: where they go, where they stay, and what is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hactl.decide.placement.plan import plan
from hactl.decide.readiness import reported
from hactl.model.events import HaproxySeen
from hactl.model.placing import Requirement
from hactl.status.document import status
from hactl.status.explain import explain
from tests.support.scene import CLUSTER, KEYS, Scene
from tests.unit.decide.test_node_health import NODES, SETTLED_MS, Nodes

DOWN = "HAProxy finds none of its servers up"
TEXT = CLUSTER + '  - {name: web, binds: ["10.0.0.31:8080"], port: 8080}\n'


class Balanced(Nodes):
    """Three daemons beside one store. `vip` requires these services."""

    def __init__(self, *requires: Requirement) -> None:
        scene = Scene(cluster=TEXT)
        groups = tuple(
            replace(group, placing=replace(group.placing, requires=requires)) if group.name == "vip" else group
            for group in scene.spec.groups
        )
        scene.spec = replace(scene.spec, groups=groups)
        super().__init__(scene=scene)
        self.seen()

    def seen(self, problem: str = "", bound: tuple[str, ...] = (), **failing: str) -> None:
        """Each node's HAProxy is seen to answer but for these services; `problem`: of those that are named."""
        for name, daemon in self.daemons.items():
            services = failing.get(name, "")
            why = dict.fromkeys(services.split("+") if services else (), DOWN)
            daemon.run(HaproxySeen(problem if name in failing else "", frozenset(bound), why))

    def level(self, node: str) -> str:
        return reported(self.scene.view, "vip", node).level


def test_a_group_leaves_for_a_node_where_its_service_is_served_and_does_not_come_back() -> None:
    nodes = Balanced(Requirement("api"))
    assert nodes.owner() == "n1"
    nodes.seen(n1="api")
    nodes.pass_ms(2_000)
    assert nodes.owner() == "n1"  # it may be over in a moment
    nodes.pass_ms(SETTLED_MS)
    assert nodes.owner() in ("n2", "n3") and "n1" not in nodes.candidates()
    assert nodes.owner("database") == "n1"  # it requires nothing
    assert nodes.daemons["n1"].notes["node_check_failed"] == {"check": "service api", "detail": DOWN}
    before = nodes.owner()
    nodes.seen()
    nodes.pass_ms(SETTLED_MS)
    assert nodes.owner() == before and "n1" in nodes.candidates()
    assert nodes.daemons["n1"].notes["node_check_passed"]["check"] == "service api"


def test_a_service_that_nobody_requires_moves_nothing() -> None:
    nodes = Balanced(Requirement("api"))
    nodes.seen(n1="web")
    nodes.pass_ms(SETTLED_MS)
    assert nodes.owner() == "n1" and nodes.level("n1") == "ready"


@pytest.mark.parametrize("must", [True, False])
def test_where_no_node_is_better_it_stays_and_is_taken_over_when_its_owner_dies(must: bool) -> None:
    nodes = Balanced(Requirement("api", must=must))
    before = list(nodes.starts)
    nodes.seen(n1="api", n2="api", n3="api")
    nodes.pass_ms(4 * SETTLED_MS)
    assert nodes.starts == before and nodes.owner() == "n1" and set(nodes.candidates()) == set(NODES)
    nodes.dead.add("n1")
    nodes.pass_ms(SETTLED_MS)
    assert nodes.owner() in ("n2", "n3")


def test_nodes_that_find_it_out_one_after_the_other() -> None:
    nodes = Balanced(Requirement("api"))
    before = list(nodes.starts)
    for failing in ({"n2": "api"}, {"n2": "api", "n1": "api"}, {"n1": "api", "n2": "api", "n3": "api"}):
        nodes.seen(**failing)
        nodes.pass_ms(1_000)
    nodes.pass_ms(4 * SETTLED_MS)
    assert nodes.starts == before and nodes.owner() == "n1"


def test_a_node_where_it_must_be_served_is_no_candidate_and_one_where_it_should_comes_last() -> None:
    must, should = Balanced(Requirement("api")), Balanced(Requirement("api", must=False))
    for nodes in (must, should):
        nodes.seen(n2="api")
        nodes.pass_ms(SETTLED_MS)
    assert (must.candidates(), must.level("n2")) == (("n1", "n3"), "unfit")
    assert (should.candidates(), should.level("n2")) == (("n1", "n3", "n2"), "poor")
    should.seen(n1="api")
    should.pass_ms(SETTLED_MS)
    assert should.owner() in ("n2", "n3") and "n1" in should.candidates()


def test_a_node_that_serves_all_of_it_is_better_than_one_that_serves_less() -> None:
    nodes = Balanced(Requirement("api"), Requirement("web"))
    nodes.seen(n1="api", n2="web")
    nodes.pass_ms(SETTLED_MS)
    assert nodes.owner() == "n3" and nodes.candidates() == ("n3",)


def test_a_haproxy_that_is_not_well_sends_the_groups_away_whose_address_it_binds() -> None:
    nodes = Balanced()
    nodes.seen("HAProxy does not run", ("vip",), n1="")
    nodes.pass_ms(1_000)
    assert reported(nodes.scene.view, "vip", "n1") == ("poor", "HAProxy does not run")
    nodes.pass_ms(SETTLED_MS)
    assert (nodes.owner() in ("n2", "n3"), nodes.owner("database")) == (True, "n1")
    nodes.seen(bound=("vip",))
    nodes.pass_ms(SETTLED_MS)
    assert nodes.level("n1") == "ready"
    nodes.seen("HAProxy does not run", (), n1="")  # a configuration in which it binds it no more
    nodes.pass_ms(SETTLED_MS)
    assert nodes.level("n1") == "ready"


def test_a_daemon_that_comes_back_goes_on_with_what_the_last_one_reported() -> None:
    nodes = Balanced(Requirement("api"))
    nodes.seen(n1="api")
    nodes.pass_ms(SETTLED_MS)
    nodes.daemons["n1"].state.haproxy = nodes.daemons["n1"].state.checks = None  # as the next daemon has it
    nodes.pass_ms(SETTLED_MS)
    assert nodes.scene.view.reports["n1"].record.checks["service api"] == {"ok": False, "text": DOWN}
    assert "n1" not in nodes.candidates()


def test_what_is_required_no_more_counts_no_more() -> None:
    nodes = Balanced(Requirement("api"))
    nodes.seen(n2="api")
    nodes.pass_ms(SETTLED_MS)
    groups = tuple(replace(group, placing=replace(group.placing, requires=())) for group in nodes.scene.spec.groups)
    nodes.scene.spec = replace(nodes.scene.spec, groups=groups)
    nodes.scene.put(KEYS.config, nodes.scene.view.config.record)  # type: ignore[union-attr]
    nodes.pass_ms(SETTLED_MS)
    assert "n2" in nodes.candidates() and "service api" not in nodes.scene.view.reports["n2"].record.checks


def test_status_and_explain_name_the_reason() -> None:
    nodes = Balanced(Requirement("api"), Requirement("web", must=False))
    nodes.seen(n2="api", n3="web")
    nodes.pass_ms(SETTLED_MS)
    document: dict[str, Any] = status(nodes.scene.view, nodes.scene.spec)
    rows = {row["name"]: row for node in document["nodes"] if node["name"] == "n2" for row in node["checks"]}
    assert (rows["service api"]["ok"], rows["service api"]["then"], rows["service web"]["then"]) == (
        False, "unfit", "last"
    )  # fmt: skip
    said = [warning["what"] for warning in document["warnings"] if "required by" in warning["what"]]
    assert said == [
        f"service api, required by group vip, is not served by HAProxy on n2: {DOWN}",
        f"service web, required by group vip, is not served by HAProxy on n3: {DOWN}",
    ]
    group = nodes.scene.spec.group("vip")
    assert group is not None
    answer = explain(plan(nodes.scene.spec, nodes.scene.view), group, "")
    why = {node["node"]: node["reason"] for node in answer["nodes"]}
    assert why["n2"] == f"service api: {DOWN}"
    assert why["n3"] == f"choice 2: it is poor for it: service web: {DOWN}"
    assert answer["requires"] == [{"service": "api", "must": True}, {"service": "web", "must": False}]


def test_explain_says_why_it_stays_where_it_is_not_served() -> None:
    nodes = Balanced(Requirement("api"))
    nodes.seen(n1="api")
    nodes.pass_ms(1_000)
    group = nodes.scene.spec.group("vip")
    assert group is not None
    why = explain(plan(nodes.scene.spec, nodes.scene.view), group, "")["why"]
    assert why == f"n1 is not well for it (service api: {DOWN}), so it goes to n2 if this lasts"
    nodes.seen(n1="api", n2="api", n3="api")
    nodes.pass_ms(2 * SETTLED_MS)
    why = explain(plan(nodes.scene.spec, nodes.scene.view), group, "")["why"]
    assert why == f"n1 is not well for it (service api: {DOWN}), but no other node is better, so it stays"
