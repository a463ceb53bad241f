"""What keeps a machine from joining: one error each, with the command that helps."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hactl.linux.listeners import Listener
from hactl.setup.checks import ROOM_BYTES, Here, here_of, problems, warnings
from hactl.setup.places import Places
from hactl.setup.plan import Host
from tests.support.bundles import N1, N2, NODES, bundle, plan
from tests.support.certificates import LONG, SHORT

GOOD = Here(addresses=frozenset({"10.0.0.12", "127.0.0.1"}), now=1e9 + 5)


def found(**seen: Any) -> list[str]:
    return list(problems(bundle(), GOOD._replace(**seen), Places()))


def test_nothing_is_wrong() -> None:
    assert found() == []
    endpoints = frozenset({"https://10.0.0.12:2379", "https://10.0.0.99:2379"})
    assert found(node=("prod", "n2"), endpoints=endpoints, authority=LONG, token="token", etcd_data=True) == []


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"uid": 1000}, "needs root"),
        ({"missing": ("etcd", "etcdctl", "haproxy")}, "`apt install etcd-server etcd-client haproxy`"),
        ({"no_unit": ("hactl", "hactl-http")}, "no unit hactl, hactl-http here: install hactl's package"),
        ({"addresses": frozenset({"10.0.0.13"})}, "10.0.0.12, the address of n2, is not on this machine"),
        ({"node": ("prod", "n3")}, "is node n3 of cluster prod already"),
        ({"node": ("other", "n2")}, "is node n2 of cluster other already"),
        (
            {"node": ("prod", "n2"), "endpoints": frozenset({"http://127.0.0.1:2379"})},
            "already, with another etcd (http://1",
        ),
        ({"authority": SHORT}, "of another authority"),
        (
            {"etcd_data": True, "token": "another"},
            "`systemctl stop etcd; mv /var/lib/etcd/hactl /var/lib/etcd/hactl.old`",
        ),
        ({"etcd_data": True}, "holds the data of another etcd cluster"),
        ({"now": 1e9 - 61}, "clock is 61 seconds behind"),
        ({"now": 1e9 - 600}, "clock is 10 minutes behind"),
        ({"now": 1e9 - 86400 * 3}, "clock is 72 hours behind"),
        ({"now": 9e9}, "certificate in the join file ended on"),
        ({"machine_id": "/etc/machine-id: is empty"}, "machine-id"),
        (
            {"listeners": (Listener("tcp", "0.0.0.0", 2379, "etcd"),)},
            "TCP port 2379, which etcd needs, is in use here by etcd",
        ),
        ({"listeners": (Listener("tcp", "10.0.0.12", 2380),)}, "TCP port 2380, which etcd needs, is in use here: stop"),
        (
            {"listeners": (Listener("tcp", "::", 9664, "nginx"),)},
            "9664, which hactl-http needs, is in use here by nginx",
        ),
        ({"listeners": (Listener("udp", "::", 9665, "named"),)}, "UDP port 9665"),
        (
            {"listeners": (Listener("udp", "::", 9665, "python", "python -c from fencing.guard.program import main"),)},
            "by the guard of an earlier hactl: `hactl uninstall --force`",
        ),
    ],
)
def test_refused(seen: dict[str, Any], words: str) -> None:
    said = found(**seen)
    assert any(words in text for text in said), said


def test_ports_at_other_addresses_and_our_own_are_no_matter() -> None:
    mine = (Listener("tcp", "10.0.0.12", 9664, "python3"), Listener("udp", "10.0.0.12", 9665, "hactl-guard"))
    other = Listener("tcp", "127.0.0.1", 2379, "etcd")
    assert found(listeners=(*mine, other), running=frozenset({"hactl-http"})) == []
    assert len(found(listeners=(*mine, other))) == 1
    assert found(listeners=(Listener("udp", "10.0.0.12", 9665, "python"),), node=("prod", "n2")) == []


def test_all_problems_are_said_at_once() -> None:
    assert len(found(uid=1000, addresses=frozenset(), now=0.0)) == 3


def test_a_witness_needs_etcd_alone() -> None:
    of = bundle(Host("w", "10.0.0.13"), plan(*NODES[:2], witness="w=10.0.0.13"))
    here = GOOD._replace(addresses=frozenset({"10.0.0.13"}), listeners=(Listener("udp", "::", 9665, "named"),))
    assert list(problems(of, here, Places())) == []


def test_little_room_is_a_warning() -> None:
    assert list(warnings(bundle(), GOOD._replace(free_bytes=ROOM_BYTES), Places())) == []
    said = list(warnings(bundle(), GOOD._replace(free_bytes=1 << 30), Places()))
    assert said == [
        "/var/lib/etcd/hactl has 1.0 GiB of room, and etcd may take 4 GiB and its snapshots as much: make room"
    ]


def test_other_drop_ins_are_a_warning() -> None:
    (said,) = warnings(bundle(), GOOD._replace(drop_ins=("/etc/systemd/system/etcd.service.d/mine.conf",)), Places())
    assert "mine.conf" in said


def test_which_machine_this_is() -> None:
    assert here_of([N1, N2], frozenset({"10.0.0.12"})) == N2
    assert "none of the addresses is on this machine" in str(here_of([N1, N2], frozenset({"10.0.0.9"})))
    assert "are both on this machine" in str(here_of([N1, N2], frozenset({"10.0.0.11", "10.0.0.12"})))


def test_a_copy_of_another_machine() -> None:
    node = msgspec.structs.replace(bundle().node, machine_ids={"n1": "aa11", "n3": "bb22"})
    joining = msgspec.structs.replace(bundle(), node=node)
    assert list(problems(joining, GOOD._replace(own_id="cc33"), Places())) == []
    (problem,) = problems(joining, GOOD._replace(own_id="bb22"), Places())
    assert "has the machine id of n3, bb22" in problem and "systemd-machine-id-setup" in problem


def test_a_machine_that_gets_another_name() -> None:
    joining = msgspec.structs.replace(bundle(), before="old")
    for name in ("old", "n2"):
        assert list(problems(joining, GOOD._replace(node=("prod", name)), Places())) == []
    assert list(problems(joining, GOOD._replace(node=("prod", "n3")), Places()))
