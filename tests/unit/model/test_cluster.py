"""The cluster as configured."""

from __future__ import annotations

from dataclasses import fields, replace

from hactl.model.cluster import ClusterSpec, GroupSpec, NodeSpec
from hactl.model.options import plain


def test_a_group_is_found_by_its_name() -> None:
    groups = tuple(GroupSpec(f"g{index}", ()) for index in range(3))
    spec = ClusterSpec("demo", (NodeSpec("n1", ""),), groups)
    assert spec.group("g2") is groups[2] and spec.group("g3") is None
    doubled = replace(spec, groups=(groups[0], GroupSpec("g0", (), overlap=True)))
    assert doubled.group("g0") is groups[0], "of two the first counts"


def test_the_index_is_no_part_of_the_configuration() -> None:
    one, other = (ClusterSpec("demo", (), (GroupSpec("g", ()),)) for _ in range(2))
    written = plain(one)
    assert one.group("g") is not None
    assert one == other
    assert plain(one) == written and set(written) == {each.name for each in fields(ClusterSpec)}
    changed = replace(one, groups=())
    assert changed.group("g") is None
