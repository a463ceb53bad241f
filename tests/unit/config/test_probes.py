"""Health probes in cluster.yaml: read, kept, and refused with the place and the fix."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from hactl.config import compiled
from hactl.config.document import document, parse_document
from hactl.config.errors import ConfigErrors
from hactl.config.load import check_text
from hactl.model.cluster import ClusterSpec
from hactl.model.probes import CommandCheck, HealthProbe, HttpCheck, Rhythm, SqlCheck, TcpCheck
from hactl.model.resources import runs_alike

CLUSTER = """
cluster: demo
nodes: [{name: n1, address: 10.0.0.11}, {name: n2, address: 10.0.0.12}]
groups:
  - name: web
    resources:
      - name: api
        exec: {command: [/bin/sleep, "1"]}
        probes: PROBES
"""

EVERY = [
    {"tcp": {"port": 5432}},
    {"tcp": {"port": 6379, "host": "10.0.0.9", "send": "PING\r\n", "expect": "\\+PONG"}, "fall": 3, "rise": 2},
    {
        "http": {
            "url": "https://[::1]:9000/health",
            "host": "api.example.org",
            "status": [200, 204],
            "body": "ok",
            "ca": "/etc/ca.pem",
            "headers": {"timeout_ms": "5"},
            "header_files": {"Authorization": "/etc/token"},
        },
        "interval": "5s",
        "timeout": "2s",
        "start_delay": "10s",
    },
    {"sql": {"kind": "mysql", "user": "probe", "password_file": "/etc/p", "query": "SELECT 2", "expect": "2"}},
    {"sql": {"kind": "postgresql", "socket": "/run/postgresql", "database": "d"}},
    {"command": ["/usr/local/bin/check", "--deep"]},
]


def spec(probes: Any) -> ClusterSpec:
    return check_text(CLUSTER.replace("PROBES", json.dumps(probes)), "cluster.yaml").spec


def test_each_kind_is_read() -> None:
    [group] = spec(EVERY).groups
    assert group.resources[0].probes == (
        HealthProbe(TcpCheck(5432)),
        HealthProbe(TcpCheck(6379, "10.0.0.9", "PING\r\n", "\\+PONG"), Rhythm(rise=2, fall=3)),
        HealthProbe(
            HttpCheck(
                "https://[::1]:9000/health", "api.example.org", (200, 204), "ok", "/etc/ca.pem", True,
                {"timeout_ms": "5"}, {"Authorization": "/etc/token"},
            ),
            Rhythm(5_000.0, 2_000.0, 10_000.0),
        ),
        HealthProbe(SqlCheck("mysql", user="probe", password_file="/etc/p", query="SELECT 2", expect="2")),
        HealthProbe(SqlCheck("postgresql", socket="/run/postgresql", database="d")),
        HealthProbe(CommandCheck(("/usr/local/bin/check", "--deep"))),
    )  # fmt: skip


def test_they_survive_the_store_and_the_compiler() -> None:
    given = spec(EVERY)
    assert parse_document(document(given)) == given
    assert compiled.load(json.loads(json.dumps(compiled.dump(given)))) == given


def test_of_a_group_only_what_differs_from_the_defaults_is_written() -> None:
    given = spec([])
    assert "moves" not in document(given)
    [group] = given.groups
    held = replace(given, groups=(replace(group, moves_limit=3, moves_window_ms=3_600_000.0),))
    assert '"moves_limit":3,"moves_window":"1h"' in document(held)
    assert parse_document(document(held)) == held
    assert compiled.load(json.loads(json.dumps(compiled.dump(held)))) == held


def test_when_a_failure_counts_at_the_latest() -> None:
    assert Rhythm(5_000.0, 2_000.0, fall=3).failure_ms == 17_000.0


@pytest.mark.parametrize(
    ("probe", "problem", "hint"),
    [
        ({}, "asks nothing", "give exactly one of tcp, http, sql, command"),
        ({"tcp": {"port": 1}, "command": ["x"]}, "asks several questions: tcp, command", "exactly one"),
        ({"tcp": {}}, "is missing", ""),
        ({"tcp": {"port": 0}}, "is 0", "1 or more"),
        ({"tcp": {"port": 1, "host": "db.example.org"}}, "is no IP address", "DNS"),
        ({"tcp": {"port": 1, "send": "x"}}, "has `send` without `expect`", "give the answer, too"),
        ({"tcp": {"port": 1, "expect": "+PONG"}}, "`expect` is no regular expression", "put a backslash before"),
        ({"tcp": {"port": 1, "expect": "x" * 501}}, "has 501 characters", "500 at most"),
        ({"tcp": {"port": 1}, "interval": "2s", "timeout": "3s"}, "timeout 3s, longer than interval 2s", "lower"),
        ({"tcp": {"port": 1}, "fall": 0}, "is 0", "1 or more"),
        ({"tcp": {"prot": 1}}, "unknown key", "port"),
        ({"http": {"url": "127.0.0.1:80"}}, "is no URL of http or https", "such as"),
        ({"http": {"url": "http://127.0.0.1:999999/"}}, "is no URL", "such as"),
        ({"http": {"url": "http://api.example.org/"}}, "every check would depend on DNS", "as `host: api.example.org`"),
        ({"http": {"url": "http://10.0.0.1", "status": [99]}}, "`99` is no status code", "100 to 599"),
        ({"http": {"url": "http://10.0.0.1", "body": "("}}, "`body` is no regular expression", "backslash"),
        ({"http": {"url": "http://10.0.0.1", "headers": {"a b": "x"}}}, "`a b` is no header's name", "letters"),
        ({"http": {"url": "http://10.0.0.1", "headers": {"a": "x\ny"}}}, "has a control character", "one line"),
        ({"http": {"url": "http://10.0.0.1", "headers": {"Cookie": "x"}}}, "is a secret", "header_files: {Cookie"),
        ({"sql": {"kind": "mysql", "socket": "/s", "port": 1}}, "has `socket` beside `host` or `port`", "either"),
        ({"sql": {"kind": "oracle"}}, "is \"oracle\"", "postgresql"),
        ({"command": "check me"}, "is one text", '["check", "me"]'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_place_and_its_fix(probe: Any, problem: str, hint: str) -> None:
    with pytest.raises(ConfigErrors) as refused:
        spec([probe])
    [found] = refused.value.problems
    assert problem in found.problem
    assert hint in found.hint
    assert found.path.startswith("groups[0].resources[0].probes[0]")


def test_a_resource_that_is_only_watched_in_another_way_is_the_same() -> None:
    [one] = spec(EVERY).groups[0].resources
    [other] = spec([]).groups[0].resources
    assert one != other
    assert runs_alike(one, other)
    [third] = check_text(CLUSTER.replace("PROBES", "[]").replace('"1"', '"2"'), "x").spec.groups[0].resources
    assert not runs_alike(other, third)


GROUP = """
cluster: demo
nodes: [{name: n1, address: 10.0.0.11}, {name: n2, address: 10.0.0.12}]
groups:
  - name: web
    probes: PROBES
    resources:
      - name: address
        vip: {address: 10.0.0.30/24}
"""


def test_probes_of_a_group_are_kept() -> None:
    given = check_text(GROUP.replace("PROBES", json.dumps(EVERY[:1])), "cluster.yaml").spec
    assert given.groups[0].probes == (HealthProbe(TcpCheck(5432)),)
    assert given.groups[0].first_vip == "10.0.0.30"
    assert parse_document(document(given)) == given
    assert compiled.load(json.loads(json.dumps(compiled.dump(given)))) == given


@pytest.mark.parametrize(
    ("probe", "problem"),
    [
        ({"http": {"url": "http://127.0.0.1/"}}, "127.0.0.1 is each of them itself"),
        ({"http": {"url": "https://localhost/"}}, "localhost is each of them itself"),
        ({"tcp": {"port": 1, "host": "::1"}}, "::1 is each of them itself"),
        ({"sql": {"kind": "mysql", "socket": "/run/s"}}, "a socket is on the node itself"),
    ],
)
def test_a_probe_of_a_group_must_lead_to_the_group(probe: Any, problem: str) -> None:
    with pytest.raises(ConfigErrors) as refused:
        check_text(GROUP.replace("PROBES", json.dumps([probe])), "cluster.yaml")
    [found] = refused.value.problems
    assert problem in found.problem
    assert found.path.startswith("groups[0].probes[0]")


def test_without_a_vip_it_needs_a_host() -> None:
    text = GROUP.replace("vip: {address: 10.0.0.30/24}", 'exec: {command: ["/bin/sleep", "9"]}')
    with pytest.raises(ConfigErrors, match="has no VIP: the other nodes would ask nobody"):
        check_text(text.replace("PROBES", '[{"tcp": {"port": 1}}]'), "cluster.yaml")
    check_text(text.replace("PROBES", '[{"tcp": {"port": 1, "host": "10.0.0.9"}}]'), "cluster.yaml")
