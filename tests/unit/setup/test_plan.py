"""What an operator types becomes a plan, or is refused with what to type."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hactl.setup.errors import BadInputError
from hactl.setup.plan import Host, OwnEtcd, Plan, make_plan, read_host
from tests.support.bundles import N1, N2, N3, NODES, plan


def test_three_nodes() -> None:
    made = plan()
    assert made.nodes == made.hosts == made.members == (N1, N2, N3)
    assert made.endpoints(N2) == ("https://10.0.0.12:2379", "https://10.0.0.11:2379", "https://10.0.0.13:2379")
    assert made.command == "hactl setup --cluster prod n1=10.0.0.11 n2=10.0.0.12 n3=10.0.0.13"


def test_a_witness_is_a_member_and_no_node() -> None:
    made = plan(*NODES[:2], witness="w=10.0.0.13")
    assert [host.name for host in made.nodes] == ["n1", "n2"]
    assert [host.name for host in made.members] == ["n1", "n2", "w"]
    assert made.endpoints(N1)[2] == "https://10.0.0.13:2379"
    assert made.command.endswith("--witness w=10.0.0.13")


def test_an_etcd_that_is_there_has_its_own_members() -> None:
    made = plan(*NODES[:2], etcd=OwnEtcd(("https://10.0.0.9:2379",), ca="/ca.pem"))
    assert made.members == ()
    assert made.endpoints(N1) == ("https://10.0.0.9:2379",)
    assert made.command.endswith("--etcd-endpoints https://10.0.0.9:2379 --etcd-ca /ca.pem")


def test_ipv6() -> None:
    host = read_host("n1=FD00:0::11")
    assert host.address == "fd00::11"
    assert host.url(2379) == "https://[fd00::11]:2379"


@pytest.mark.parametrize(
    ("nodes", "more", "words"),
    [
        (("n1",), {}, "`n1` has no address: write NAME=ADDRESS"),
        (("n1=",), {}, "`` is no IP address"),
        (("n1=n1.example.org",), {}, "is no IP address"),
        (("n1=0.0.0.0",), {}, "is no IP address of a machine"),
        (("n1=224.0.0.1",), {}, "is no IP address of a machine"),
        (("n1=fe80::1%eth0",), {}, "is no IP address of a machine"),
        (("-n1=10.0.0.1",), {}, "is no name"),
        (("a/../b=10.0.0.1",), {}, "is no name"),
        (("a" * 59 + "=10.0.0.1",), {}, "is no name"),
        (("n1=10.0.0.1", "n1=10.0.0.2", "n3=10.0.0.3"), {}, "name `n1` is there twice"),
        (("n1=10.0.0.1", "n2=10.0.0.1", "n3=10.0.0.3"), {}, "address `10.0.0.1` is there twice"),
        (NODES[:2], {"witness": "n1=10.0.0.14"}, "name `n1` is there twice"),
        (("n1=10.0.0.1", "n2=fd00::2", "n3=10.0.0.3"), {}, "some addresses are IPv4 and some IPv6"),
        (("n1=127.0.0.1", "n2=10.0.0.2", "n3=10.0.0.3"), {}, "n1=127.0.0.1: other machines cannot reach"),
        (NODES[:2], {}, "`--witness w=ADDRESS`; or `--accept-even-members`"),
        ((*NODES, "n4=10.0.0.14"), {}, "4 members of etcd, an even number, survive the loss of no more than 3 do"),
        (NODES, {"witness": "w=10.0.0.14"}, "3 nodes and a witness are 4 members of etcd"),
        (NODES[:2], {"witness": "w=10.0.0.14", "etcd": OwnEtcd(("http://e:2379",))}, "leave it out"),
        (NODES, {"profile": "slow"}, "`slow` is no profile: default, fast, wan"),
    ],
)
def test_refused(nodes: tuple[str, ...], more: dict[str, object], words: str) -> None:
    with pytest.raises(BadInputError) as refused:
        plan(*nodes, **more)
    assert words in str(refused.value)


def test_no_nodes_and_a_bad_cluster_name() -> None:
    with pytest.raises(BadInputError, match="no nodes are given"):
        make_plan("prod", [], token="t")
    with pytest.raises(BadInputError, match="is no name of a cluster"):
        make_plan("a b", NODES, token="t")


def test_an_even_number_may_be_accepted() -> None:
    assert plan(*NODES[:2], even=True).command.endswith("--accept-even-members")
    assert len(plan("n1=10.0.0.11").members) == 1


def test_the_same_but_for_the_token() -> None:
    assert plan().same(make_plan("prod", NODES, token="another"))
    assert not plan().same(plan("n1=10.0.0.11"))


hosts = st.builds(lambda number: Host(f"n{number}", f"10.0.0.{number}"), st.integers(1, 250))


@given(st.lists(hosts, min_size=1, max_size=7, unique=True), st.sampled_from(["default", "fast", "wan"]))
def test_stored_and_read_again(nodes: list[Host], profile: str) -> None:
    made = make_plan("prod", [host.text for host in nodes], token="t", profile=profile, even=True)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Plan) == made


@given(st.text(max_size=80))
def test_any_text_is_a_host_or_refused(text: str) -> None:
    try:
        host = read_host(text)
    except BadInputError:
        return
    assert "/" not in host.name and read_host(host.text) == host
