"""A machine's bundle: what is in it, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hactl.setup.bundle import LARGEST, Bundle, decode, encode
from hactl.setup.errors import BadInputError
from hactl.setup.plan import Host
from tests.support.bundles import NODES, bundle, plan

WITNESSED = plan(*NODES[:2], witness="w=10.0.0.13")


@pytest.mark.parametrize("made", [bundle(), bundle(Host("w", "10.0.0.13"), WITNESSED)])
def test_written_and_read(made: Bundle) -> None:
    assert decode(encode(made), "f") == made


def test_a_witness_knows_etcd_alone() -> None:
    text = encode(bundle(Host("w", "10.0.0.13"), WITNESSED)).decode()
    assert json.loads(text)["node"] is None
    assert "cluster_key" not in text


def changed(*path: str, to: Any) -> bytes:
    document = json.loads(encode(bundle()))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no join file"),
        (b"\xff\xfe", "no join file"),
        (b"[]", "no join file"),
        (b"[" * 100_000, "no join file"),
        (b" " * (LARGEST + 1), "larger than a join file"),
        (changed("format", to=2), "is of format 2"),
        (changed("more", to=1), "unknown field `more`"),
        (changed("cluster", to="../etc"), "`$.cluster`"),
        (changed("host", "name", to="../../etc/passwd"), "`$.host.name`"),
        (changed("host", "address", to="not an address"), "no address of a machine"),
        (changed("host", "address", to="10.0.0.99"), "none of etcd's members"),
        (changed("etcd", "state", to="stolen"), "stolen"),
        (changed("etcd", "token", to="a\nETCD_DEBUG=1"), "token"),
        (changed("etcd", "ca", to="-----BEGIN CERTIFICATE-----"), "no certificate"),
        (changed("etcd", "peer", "key", to="key"), "no private key"),
        (changed("node", "cluster_key", to="short"), "no cluster key"),
        (changed("node", "cluster_key", to="two words of more than thirty-two characters"), "no cluster key"),
        (changed("node", "endpoints", to=[]), "no URLs"),
        (changed("node", "endpoints", to=["https://10.0.0.11:2379"]), "own member is not the first endpoint"),
    ],
)
def test_refused(content: bytes, words: str) -> None:
    with pytest.raises(BadInputError) as refused:
        decode(content, "n2.join")
    assert words in str(refused.value)
    assert "n2.join" in str(refused.value)


@given(st.binary(max_size=200), st.integers(0, 5000), st.integers(0, 200))
def test_damage_is_refused_and_not_more(noise: bytes, at: int, gone: int) -> None:
    whole = encode(bundle())
    try:
        read = decode(whole[:at] + noise + whole[at + gone :], "f")
    except BadInputError:
        return
    assert "/" not in read.host.name
