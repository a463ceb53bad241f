"""Sets of defaults: their names, what they inherit, and which one a proxy has."""

from __future__ import annotations

import pytest

from hactl.config.errors import ConfigErrors
from tests.support.haproxy_import import imported, notes


def test_which_defaults_a_proxy_has() -> None:
    proxies = "{0}frontend a\n bind 127.0.0.1:1\n default_backend b\n{1}backend b{2}\n"
    cases = {
        ("", "", ""): ("haproxy", "haproxy"),
        ("defaults\n", "defaults\n", ""): ("imported", "imported-2"),
        ("defaults one\n", "defaults two from one\n", " from one"): ("one", "one"),
        ("defaults haproxy\n", "", ""): ("haproxy", "haproxy"),
        ("", "defaults hactl\n", " from hactl"): ("haproxy", None),
    }
    for parts, wanted in cases.items():
        services = imported(proxies.format(*parts)).document["services"]
        assert tuple(entry.get("defaults") for entry in services) == wanted
    with pytest.raises(ConfigErrors, match=r"x.cfg:2:1: .* is not there above it"):
        imported("defaults a\nbackend b from c\ndefaults c\n")


def test_sets_of_one_name() -> None:
    text = "defaults a\n mode http\nbackend x\ndefaults a\n mode tcp\nbackend y\n"
    result = imported(text)
    assert result.whole and result.document["haproxy"]["defaults"] == {"a": {"mode": "http"}, "a-2": {"mode": "tcp"}}
    assert [entry["defaults"] for entry in result.document["services"]] == ["a", "a-2"]


def test_a_proxy_in_a_condition_names_its_own_defaults() -> None:
    text = "defaults d\ndefaults e\n.if x\nbackend a from d\nbackend b\n.endif\n"
    result = imported(text)
    assert result.whole, result.notes
    assert result.document["haproxy"]["sections"] == [".if x\nbackend a from d\nbackend b from e\n.endif"]


def test_a_set_of_defaults_inherits_all_but_the_rules() -> None:
    text = "defaults a\n timeout client 1s\n http-request deny\n maxconn 5\ndefaults b from a\n timeout client 2s\n"
    sets = imported(text).document["haproxy"]["defaults"]
    assert sets["b"] == {"timeouts": {"client": "2s"}, "maxconn": 5}
    assert sets["a"]["extra"] == ["http-request deny"] and notes(text, "left") == []
