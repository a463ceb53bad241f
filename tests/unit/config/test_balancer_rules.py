"""HAProxy in a group: who may have it, what it may bind, and what a change of it waits for."""

from __future__ import annotations

from functools import partial

import pytest

from hactl.config.diff import guarded_groups
from hactl.config.load import parse_cluster
from tests.support.cluster_text import edited, problems

GOOD = """\
cluster: demo
nodes:
  - {name: n1, address: 10.0.0.11}
  - {name: n2, address: 10.0.0.12}
groups:
  - name: front
    resources:
      - {name: address, vip: {address: 10.0.0.30/24}}
      - {name: balancer, haproxy: {drain: 2s}}
  - name: database
    resources:
      - {name: storage, vip: {address: 10.0.0.31/24}}
services:
  - {name: keystone, binds: ["10.0.0.30:5000", "127.0.0.1:81"], port: 5000}
"""

changed = partial(edited, GOOD)

ADDRESS = "      - {name: address, vip: {address: 10.0.0.30/24}}\n"
BALANCER = "      - {name: balancer, haproxy: {drain: 2s}}\n"
STORAGE = "      - {name: storage, vip: {address: 10.0.0.31/24}}\n"

# What is changed in GOOD; where the one problem is; what it says.
CASES = {
    "twice": (
        (STORAGE, STORAGE + "      - {name: second, haproxy: {}}\n"),
        "groups[1].resources[1].haproxy",
        "a group has it already: groups[0].resources[1]; leave it out here",
    ),
    "before the address": (
        (ADDRESS + BALANCER, BALANCER + ADDRESS),
        "services[0].binds[0]",
        "before the address `address`; put `address` before `balancer`",
    ),
    "another group's address": (
        ("10.0.0.30:5000", "10.0.0.31:5000"),
        "services[0].binds[0]",
        "10.0.0.31:5000 is of group `database`, but HAProxy runs where group `front` does; move the address",
    ),
    "a node's address": (
        ("127.0.0.1:81", "10.0.0.12:81"),
        "services[0].binds[1]",
        "10.0.0.12:81 is n2's own, but HAProxy runs where group `front` does; bind an address of group `front`",
    ),
    "in an overlap": (
        ("name: front\n", "name: front\n    overlap: true\n"),
        "groups[0].resources[1]",
        "only addresses",
    ),
    "nothing to do": (
        ('services:\n  - {name: keystone, binds: ["10.0.0.30:5000", "127.0.0.1:81"], port: 5000}\n', ""),
        "groups[0].resources[1].haproxy",
        "there is no service for it",
    ),
    "an unknown option": (("drain: 2s", "dain: 2s"), "groups[0].resources[1].haproxy.dain", "did you mean `drain`?"),
}


def test_good() -> None:
    spec = parse_cluster(GOOD)
    group = spec.balancer_group()
    assert group is not None and group.name == "front"
    assert group.resources[1].options.plain() == {"drain_ms": 2000}
    assert (group.resources[1].start_timeout_ms, group.resources[1].stop_timeout_ms) == (10_000, 5_000)


def test_without_it_haproxy_is_everywhere() -> None:
    assert parse_cluster(changed((BALANCER, ""))).balancer_group() is None


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be(case: str) -> None:
    change, path, said = CASES[case]
    (problem,) = problems(changed(change))
    assert path in str(problem)
    assert said in str(problem)


def test_it_moves_to_another_group_only_when_released() -> None:
    old = parse_cluster(GOOD)
    new = parse_cluster(changed((BALANCER, ""), (STORAGE, STORAGE + BALANCER), ("10.0.0.30:5000", "10.0.0.31:5000")))
    assert guarded_groups(old, new) == {"front": ["`haproxy` moves to group `database`"]}
    renamed = parse_cluster(changed(("name: balancer", "name: haproxy")))
    assert guarded_groups(old, renamed) == {}
