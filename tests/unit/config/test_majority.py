"""What `hactl config check` says of how many there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from hactl.admin.config import check_file
from hactl.config.majority import known_members

GROUP = "groups: [{name: vip, fencing: lease, resources: [{name: a, vip: {address: 10.0.0.30/24, interface: lo}}]}]\n"


@pytest.mark.parametrize(
    ("nodes", "endpoints", "warned", "promised"),
    [
        (3, 3, [], True),
        (3, 0, [], True),
        (5, 5, [], True),
        (2, 3, [], True),
        (1, 3, ["one node: when it fails"], False),
        (1, 0, ["one node: when it fails", "with etcd on this node alone: when that one stops"], False),
        (2, 2, ["etcd has 2 endpoints in node.toml: one of two is no majority"], False),
        (2, 0, ["with etcd on these 2 nodes alone: one of two is no majority"], False),
        (3, 1, ["etcd has 1 endpoint in node.toml: when that one stops"], False),
        (4, 0, ["with etcd on these 4 nodes alone: an even number"], True),
        (4, 3, [], True),
        (3, 4, ["etcd has 4 endpoints in node.toml: an even number"], True),
    ],
)
def test_the_members_that_may_be_lost_are_named_beforehand(
    nodes: int, endpoints: int, warned: list[str], promised: bool, tmp_path: Path
) -> None:
    named = ", ".join(f"{{name: n{number}, address: 10.0.0.{number}}}" for number in range(1, nodes + 1))
    file = tmp_path / "cluster.yaml"
    file.write_text(f"cluster: demo\nnodes: [{named}]\n{GROUP}")
    report = check_file(file, endpoints=endpoints)
    warnings = [line for line in report.lines if line.startswith(f"warning: {file}:2:")]
    assert report.ok and len(warnings) == len(warned), warnings
    for line, words in zip(warnings, warned, strict=True):
        assert words in line and "; " in line
    assert any(line.startswith("failover at worst") for line in report.lines) == promised
    assert any(line.startswith("failover: none is promised: ") for line in report.lines) != promised


def test_one_endpoint_on_this_machine_says_nothing_of_how_many_there_are() -> None:
    assert [
        known_members([endpoint]) for endpoint in ("http://127.0.0.1:2379", "localhost:2379", "https://[::1]:2379")
    ] == [
        0,
        0,
        0,
    ]
    assert known_members(["http://10.0.0.1:2379"]) == 1 and known_members(["127.0.0.1:2379", "10.0.0.2:2379"]) == 2
