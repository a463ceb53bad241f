"""Who probes which service, through what, and when."""

from __future__ import annotations

import itertools

import pytest

from hactl.decide import probing
from tests.support.scene import CLUSTER, Scene, spec


def target(binds: str, probe: str = "{kind: tcp}") -> str:
    text = CLUSTER.replace('["10.0.0.30:5000"]', binds) + f"    probe: {probe}\n"
    cluster = spec(text)
    return probing.target(cluster.services[0], cluster)


@pytest.mark.parametrize(
    ("binds", "asked"),
    [
        ('["10.0.0.30:5000"]', "10.0.0.30:5000"),
        ('["*:5001", "10.0.0.31:5000", "10.0.0.30:5000"]', "10.0.0.31:5000"),
        ('["10.0.0.99:5000", "10.0.0.30:5000"]', "10.0.0.30:5000"),
        ('["10.0.0.30:6080-6082"]', "10.0.0.30:6080"),
        ('["*:5001"]', ""),
        ('["/run/api.sock"]', ""),
    ],
)
def test_the_first_bind_on_a_vip_is_asked(binds: str, asked: str) -> None:
    assert target(binds) == asked


def test_or_the_one_that_is_named() -> None:
    assert target('["10.0.0.30:5000", "10.0.0.11:5001"]', '{kind: tcp, bind: "10.0.0.11:5001"}') == "10.0.0.11:5001"
    assert target('["*:5001"]', '{kind: tcp, bind: "*:5001"}') == ""


def test_an_ipv6_address_is_the_same_however_it_is_written() -> None:
    text = CLUSTER.replace("10.0.0.30/24", '"fd00::30/64"').replace("10.0.0.30:5000", "[fd00:0::30]:5000")
    cluster = spec(text + "    probe: {kind: tcp}\n")
    asked = probing.target(cluster.services[0], cluster)
    assert probing.split(asked)[1] == "5000"
    scene = Scene(cluster=text)
    scene.join("n1", "n2")
    scene.own("vip", "n1")
    assert probing.probers(scene.view, scene.spec, asked) == ["n2"]


def test_the_live_nodes_that_do_not_have_the_address_probe() -> None:
    scene = Scene()
    scene.join("n1", "n2", "n3")
    assert probing.probers(scene.view, scene.spec, "10.0.0.30:5000") == ["n1", "n2", "n3"]
    scene.own("vip", "n2")
    assert probing.probers(scene.view, scene.spec, "10.0.0.30:5000") == ["n1", "n3"]
    scene.kill("n3")
    assert probing.probers(scene.view, scene.spec, "10.0.0.30:5000") == ["n1"]
    assert probing.probers(scene.view, scene.spec, "") == []


def test_neither_the_next_owner_nor_the_present_one_probes() -> None:
    scene = Scene()
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n3", state="handoff", holders=(scene.holder("n1"),))
    assert probing.probers(scene.view, scene.spec, "10.0.0.30:5000") == ["n2"]


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_they_take_turns(nodes: int) -> None:
    interval, begin, end = 10.0, 1_795_000_000.0, 1_795_000_000.0 + 600
    moments = []
    for place in range(nodes):
        now = begin
        while (now := probing.next_turn(now, interval, "api", place, nodes)) < end:
            moments.append(now)
    moments.sort()
    gaps = {round(later - earlier, 3) for earlier, later in itertools.pairwise(moments)}
    assert gaps == {interval} and len(moments) == 60


def test_services_have_their_turns_at_different_moments() -> None:
    turns = {probing.next_turn(0.0, 10.0, f"s{number}", 0, 2) for number in range(100)}
    assert len(turns) > 80 and max(turns) - min(turns) > 8
