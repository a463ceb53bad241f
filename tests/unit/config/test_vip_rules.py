"""Prefix lengths of VIPs that are seldom meant."""

from __future__ import annotations

import pytest

from hactl.config.load import check_text
from tests.support.scene import CLUSTER


def warnings(*addresses: str) -> list[str]:
    """Of the example with these in the places of its two VIPs."""
    text = CLUSTER
    for old, new in zip(("10.0.0.30/24", "10.0.0.31/24"), addresses, strict=False):
        text = text.replace(old, new)
    return [f"{warning}" for warning in check_text(text, "cluster.yaml").warnings if "network" in f"{warning}"]


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (("10.0.0.30/32",), "10.0.0.30/32 is an address without a network; give it the length of its interface's "
                            "network, such as 10.0.0.30/24"),
        (("10.0.0.30/24", "10.0.0.31/25"), "10.0.0.31/25 and 10.0.0.30/24 are in one network, with two lengths"),
        (("10.0.0.30/16", "10.0.0.31/24"), "10.0.0.31/24 and 10.0.0.30/16 are in one network, with two lengths"),
        (("10.0.0.30/24", "fd00::31/128"), "such as fd00::31/64"),
    ],
)  # fmt: skip
def test_they_are_warned_of(addresses: tuple[str, ...], expected: str) -> None:
    [warning] = warnings(*addresses)
    assert expected in warning


@pytest.mark.parametrize(
    "addresses", [(), ("10.0.0.30/24", "10.0.1.31/25"), ("fd00::30/64", "fd00::31/64"), ("10.0.0.30/24", "fd00::31/64")]
)
def test_others_are_not(addresses: tuple[str, ...]) -> None:
    assert warnings(*addresses) == []
