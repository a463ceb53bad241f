"""cluster.yaml is edited where a node changes, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hactl.config.load import parse_cluster
from hactl.config.yaml_tree import read_yaml
from hactl.setup.errors import RefusedError
from hactl.setup.membership.cluster_text import with_address, with_name, with_node, without_node
from hactl.setup.places import Places
from hactl.setup.plan import Host, Plan
from hactl.setup.render import cluster_yaml

N4 = Host("n4", "10.0.0.14")
BLOCK = """\
cluster: prod   # ours
nodes:
  # the first rack
  - name: n1
    address: 10.0.0.11
    fencing: {levels: [{devices: [{device: pdu, plug: n1}]}]}
  - name: n2   # the second
    address: 10.0.0.12
  # the third rack
  - name: n3
    address: 10.0.0.13  # moved in May

# What runs on one node at a time:
fencing: {devices: [{name: pdu, agent: fence_apc, options: {ip: 10.0.0.2}}]}
groups:
  - name: vip
    nodes: [n3, n1, n2]
    resources: [{name: address, vip: {address: 10.0.0.30/24}}]
  - name: app
    nodes:
      - n1
      - n3   # the spare
    resources: [{name: app, systemd: {unit: app.service}}]
services:
  - {name: api, binds: ["10.0.0.30:80"], port: 8000, nodes: [n1, n3]}
"""
FLOW = "cluster: prod\nnodes: [{name: n1, address: 10.0.0.11}, {name: n2, address: 10.0.0.12}] # two\n"
SHORT = "cluster: prod\nnodes:\n- {name: n1, address: 10.0.0.11}\n- {name: n2, address: 10.0.0.12}"


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


def test_a_node_more() -> None:
    after = with_node(BLOCK, N4)
    assert after == BLOCK.replace("# moved in May\n", "# moved in May\n  - name: n4\n    address: 10.0.0.14\n")
    assert with_node(after, N4) == after
    assert with_node(FLOW, N4) == FLOW.replace("}] #", "}, {name: n4, address: 10.0.0.14}] #")
    assert with_node(SHORT, N4) == SHORT + "\n- {name: n4, address: 10.0.0.14}"
    assert [node.name for node in parse_cluster(after).nodes] == ["n1", "n2", "n3", "n4"]


def test_a_node_less() -> None:
    after = without_node(BLOCK, "n3")
    gone, new = changed_lines(BLOCK, after)
    assert gone == [
        "  - name: n3",
        "    address: 10.0.0.13  # moved in May",
        "    nodes: [n3, n1, n2]",
        "      - n3   # the spare",
        '  - {name: api, binds: ["10.0.0.30:80"], port: 8000, nodes: [n1, n3]}',
    ]
    assert new == ["    nodes: [n1, n2]", '  - {name: api, binds: ["10.0.0.30:80"], port: 8000, nodes: [n1]}']
    assert without_node(after, "n3") == after
    assert without_node(FLOW, "n2") == FLOW.replace(", {name: n2, address: 10.0.0.12}", "")
    assert without_node(FLOW, "n1") == FLOW.replace("{name: n1, address: 10.0.0.11}, ", "")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("groups: [{name: g, nodes: [n2]}]", "group g names no other node than n2"),
        ("services: [{name: s, nodes: [n2]}]", "service s names no other node than n2"),
        ("services: [{name: s, servers: [{name: x, node: n2}]}]", "service s has a server on n2"),
    ],
)
def test_a_node_that_something_needs_stays(more: str, reason: str) -> None:
    with pytest.raises(RefusedError, match=f"{reason}.*hactl config apply"):
        without_node(f"{FLOW}{more}\n", "n2")


def test_another_name() -> None:
    after = with_name(BLOCK, "n3", "db1")
    gone, new = changed_lines(BLOCK, after)
    assert [line.replace("n3", "db1") for line in gone] == new and len(new) == 4
    assert (
        with_name("nodes: [{name: n1, address: 10.0.0.1}]", "n1", "yes") == 'nodes: [{name: "yes", address: 10.0.0.1}]'
    )
    server = f"{FLOW}services: [{{name: s, servers: [{{name: x, node: n2}}]}}]\n"
    assert "node: b}" in with_name(server, "n2", "b")


def test_another_address() -> None:
    new = Host("n3", "10.0.0.99")
    assert with_address(BLOCK, new, "10.0.0.13") == BLOCK.replace("10.0.0.13", "10.0.0.99")
    assert with_address(BLOCK, new, "192.168.0.13") == BLOCK


def test_a_form_that_cannot_be_changed() -> None:
    with pytest.raises(RefusedError, match="by hand"):
        with_node("nodes:\n  -\n    name: n1\n    address: 10.0.0.1\n", N4)


def test_the_first_cluster_yaml_of_setup() -> None:
    hosts = tuple(Host(f"n{number}", f"10.0.0.{number}") for number in (1, 2, 3))
    text = cluster_yaml(Plan("prod", hosts, "t"), Places())
    after = with_node(text, N4)
    assert after.index("n4") < after.index("# What runs on one node")
    assert without_node(after, "n4") == text


names = st.lists(st.sampled_from([f"n{number}" for number in range(1, 9)]), min_size=1, max_size=8, unique=True)


@given(names, st.data())
def test_nodes_come_and_go(first: list[str], data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["flow", "short", "block"]))
    hosts = [Host(name, f"10.0.0.{name[1:]}") for name in first]
    if form == "flow":
        inner = ", ".join(f"{{name: {host.name}, address: {host.address}}}" for host in hosts)
        text = f"cluster: prod\nnodes: [{inner}]\n"
    else:
        line = (
            "- {{name: {0.name}, address: {0.address}}}"
            if form == "short"
            else "- name: {0.name}\n  address: {0.address}"
        )
        text = "cluster: prod\nnodes:\n" + "\n".join(line.format(host) for host in hosts) + "\n# the end\n"
    there = list(first)
    for _ in range(6):
        name = data.draw(st.sampled_from([f"n{number}" for number in range(1, 9)]))
        if name in there and len(there) > 1:
            there.remove(name)
            text = without_node(text, name)
        elif name not in there:
            there.append(name)
            text = with_node(text, Host(name, f"10.0.0.{name[1:]}"))
        assert [node["name"] for node in read_yaml(text, "").data["nodes"]] == there
