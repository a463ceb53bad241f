"""Resources of kind ocf in cluster.yaml; what their agents say: tests/integration/config/test_ocf.py."""

from __future__ import annotations

import pytest

from hactl.config.document import document, parse_document
from hactl.config.load import parse_cluster
from hactl.model.resources import OcfOptions, OcfSpec
from tests.support.cluster_text import problems

TEXT = """\
cluster: demo
nodes: [{name: n1, address: 192.0.2.1}, {name: n2, address: 192.0.2.2}]
groups:
  - name: database
    fencing: required
    resources:
      - name: server
        ocf: OCF
"""


def with_ocf(text: str) -> str:
    return TEXT.replace("OCF", text)


def test_a_resource_with_all_its_settings() -> None:
    ocf = (
        '{agent: "ocf:heartbeat:pgsql", parameters: {pgport: 5432, fast: true, wait_ms: 3, x: "1.50"}, '
        "secrets: {password: /etc/p}, check_level: 10}"
    )
    spec = parse_cluster(with_ocf(ocf))
    (resource,) = spec.groups[0].resources
    assert isinstance(resource, OcfSpec)
    given = {"pgport": "5432", "fast": "true", "wait_ms": "3", "x": "1.50"}
    assert resource.options == OcfOptions("heartbeat:pgsql", given, {"password": "/etc/p"}, 10)
    assert parse_document(document(spec)) == spec, "what is stored is the same"


@pytest.mark.parametrize(
    ("ocf", "place", "says"),
    [
        ("{agent: pgsql}", "agent", "`pgsql` is no agent; write `heartbeat:pgsql`"),
        ('{agent: "a:b:c"}', "agent", "`a:b:c` is no agent; such as `heartbeat:pgsql`"),
        ('{agent: "../x:y"}', "agent", "is no agent"),
        ('{agent: "systemd:nginx"}', "agent", "use `systemd: {unit: …}`"),
        ('{agent: "stonith:fence_ipmilan"}', "agent", "fence devices belong into `fencing.devices`"),
        ('{agent: "a:b", parameters: {x: 1.5}}', "parameters.x", "put it in quotes"),
        ('{agent: "a:b", parameters: {x: [1]}}', "parameters.x", "is neither a text"),
        ('{agent: "a:b", parameters: {x: {file: /etc/x}}}', "parameters.x", "name it under `secrets`"),
        ('{agent: "a:b", parameters: {x-y: 1}}', "parameters.x-y", "`x-y` is no name of a parameter"),
        (
            '{agent: "a:b", parameters: {CRM_meta_timeout: 1}}',
            "parameters.CRM_meta_timeout",
            "is given by hactl itself",
        ),
        ('{agent: "a:b", secrets: {x: etc}}', "secrets.x", "`etc` is no absolute path"),
        (
            '{agent: "a:b", parameters: {x: 1}, secrets: {x: /etc/x}}',
            "",
            "has `x` under `parameters` and under `secrets`",
        ),
        ('{agent: "a:b", check_level: -1}', "check_level", "0"),
        ("{parameters: {x: 1}}", "agent", "is missing"),
    ],
)
def test_what_is_wrong_is_refused_at_its_place(ocf: str, place: str, says: str) -> None:
    (problem,) = problems(with_ocf(ocf))
    assert problem.path == "groups[0].resources[0].ocf" + (f".{place}" if place else "")
    assert problem.place is not None and problem.place.line == 8
    assert says in f"{problem.problem}; {problem.hint}"


def test_a_group_with_a_lease_needs_a_short_stop() -> None:
    text = with_ocf('{agent: "a:b"}').replace("required", "lease")
    (problem,) = problems(text)
    assert "`stop` may take stop_timeout 30s" in problem.problem and "fencing: required" in problem.hint
    spec = parse_cluster(text.replace("      - name: server\n", "      - name: server\n        stop_timeout: 500ms\n"))
    assert spec.groups[0].resources[0].stop_timeout_ms == 500


def test_two_resources_that_an_agent_could_not_tell_apart_are_refused() -> None:
    """Their names for the agent are GROUP.NAME, and a name may have a dot."""
    second = with_ocf('{agent: "a:b"}').partition("groups:\n")[2]
    text = with_ocf('{agent: "a:b"}').replace("name: database", "name: x").replace("name: server", "name: y.z")
    text += second.replace("name: database", "name: x.y").replace("name: server", "name: z")
    (problem,) = problems(text)
    assert "a resource that its agent knows as x.y.z is there already" in problem.problem
