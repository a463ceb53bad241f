"""The settings of placement: what is read, what is refused, all at once and with its place."""

from __future__ import annotations

import pytest

from hactl.config.document import document, parse_document
from hactl.config.errors import ConfigErrors
from hactl.config.load import check_text
from hactl.model.cluster import ClusterSpec
from hactl.model.placing import Placing, Relation, Requirement

NODES = """\
cluster: demo
nodes:
  - {name: n1, address: 10.0.0.11, attributes: {rack: a, ssd: true, slots: 4}, capacity: {memory: 8}}
  - {name: n2, address: 10.0.0.12, attributes: {rack: b}, capacity: {memory: 4}}
groups:
"""


def cluster(**groups: str) -> str:
    """A cluster of two nodes; of each group these settings."""
    text = NODES
    for number, (name, settings) in enumerate(groups.items(), 31):
        vip = f"resources: [{{name: address, vip: {{address: 10.0.0.{number}/24}}}}]"
        text += f"  - {{name: {name}, {settings}{', ' if settings else ''}{vip}}}\n"
    return text


def spec(text: str) -> ClusterSpec:
    return check_text(text, "cluster.yaml").spec


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as error:
        spec(text)
    return [line for line in str(error.value).splitlines() if line.strip()]


def test_everything_is_read_and_kept_in_the_stored_document() -> None:
    settings = (
        "weights: {n1: 100, n2: 50}, where: 'rack in (a, b)', prefers: ssd, needs: {memory: 2}, spread: s, "
        "priority: 3, failback: immediately, stickiness: 10, together_with: [b, {group: c, must: false}], after: [b]"
    )
    read = spec(cluster(a=settings, b="", c="", d="never: [n2], apart_from: [a]"))
    group = read.group("a")
    assert group is not None
    assert group.placing == Placing(
        (("n1", 100), ("n2", 50)), (), "rack in (a, b)", "ssd", (Relation("b"), Relation("c", must=False)), (),
        (Relation("b"),), (("memory", 2.0),), "s", 3, "immediately", 10,
    )  # fmt: skip
    assert parse_document(document(read)) == read
    assert dict(read.nodes[0].attributes) == {"rack": "a", "ssd": True, "slots": 4.0}


SERVICES = """\
services:
  - {name: api, binds: ["10.0.0.31:5000"], port: 5000}
  - {name: nova, binds: ["10.0.0.31:8774"], port: 8774, enabled: false}
"""


def test_what_is_required_is_read_and_kept() -> None:
    read = spec(cluster(a="requires: [api, {service: nova, must: false}]") + SERVICES)
    group = read.group("a")
    assert group is not None
    assert group.placing.requires == (Requirement("api"), Requirement("nova", must=False))
    assert parse_document(document(read)) == read
    assert '"requires"' not in document(spec(cluster(a="")))  # as it was stored before there was such a setting


@pytest.mark.parametrize(
    ("groups", "services", "problem", "hint"),
    [
        ("requires: [apy]", SERVICES, "groups[0].requires[0]: `apy` is no service of this cluster", "mean `api`?"),
        ("requires: [{service: apy}]", SERVICES, "`apy` is no service", "did you mean `api`?"),
        ("requires: [api]", "", "groups[0].requires[0]: `api` is no service of this cluster", "add it to `services`"),
        ("requires: [api, api]", SERVICES, "groups[0].requires[1]: service `api` is there already", "name it once"),
        ("requires: [{must: true}]", SERVICES, "groups[0].requires[0].service", ""),
        ("requires: api", SERVICES, "groups[0].requires", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_required(groups: str, services: str, problem: str, hint: str) -> None:
    assert any(problem in line and hint in line for line in problems(cluster(a=groups) + services))


def test_a_haproxy_that_one_node_has_can_be_required_of_no_node() -> None:
    text = cluster(a="requires: [api]") + SERVICES
    having = "  - {name: lb, resources: [{name: balancer, haproxy: {}}]}\n"
    (line,) = [line for line in problems(text.replace("services:", f"{having}services:")) if "requires" in line]
    assert "groups[0].requires[0]: HAProxy runs in group `lb`" in line and "`together_with: [lb]`" in line


def test_a_service_that_is_disabled_is_doubtful() -> None:
    checked = check_text(cluster(a="requires: [nova]") + SERVICES, "cluster.yaml")
    (warning,) = [each for each in checked.warnings if "nova" in str(each)]
    assert "service `nova` is disabled, so it is required of no node" in str(warning)


@pytest.mark.parametrize(
    ("groups", "problem"),
    [
        ({"a": "together_with: [bb]", "b1": ""}, "groups[0].together_with[0]: `bb` is no group of this cluster"),
        ({"a": "after: [a]"}, "groups[0].after[0]: names the group itself"),
        ({"a": "apart_from: [b, b]", "b": ""}, "groups[0].apart_from[1]: group `b` is there already"),
        ({"a": "after: [b]", "b": "after: [c]", "c": "after: [a]"},
         "groups[0].after: goes in a circle: a -> b -> c -> a"),
        ({"a": "together_with: [b]", "b": "together_with: [a]"}, "goes in a circle: a -> b -> a"),
        ({"a": "together_with: [b]", "b": "", "c": "together_with: [b], apart_from: [a]"},
         "groups[2].apart_from[0]: group `c` must be apart from `a`, and must run with it"),
        ({"a": "where: rack == c"}, "groups[0].where: no node fulfils `rack == c`"),
        ({"a": "where: rak == a"},
         "groups[0].where: no node has an attribute or health check `rak`; did you mean `rack`?"),
        ({"a": "where: rack ="}, "groups[0].where: `rack =` is no expression: at character 6"),
        ({"a": "weights: {n9: 1}"}, "groups[0].weights.n9: `n9` is no node of this cluster"),
        ({"a": "nodes: [n1], weights: {n2: 1}"}, "groups[0].weights.n2: `n2` is none of the group's `nodes`"),
        ({"a": "never: [n1, n2]"}, "groups[0].never: names every node"),
        ({"a": "nodes: [n1, n2], never: [n1]"}, "groups[0].never[0]: `n1` is one of the group's `nodes`, too"),
        ({"a": "needs: {memory: 9}"},
         "groups[0].needs.memory: group `a` needs 9 of memory; none of its nodes has more than 8"),
        ({"a": "needs: {disk: 1}"}, "groups[0].needs.disk: group `a` needs 1 of disk"),
        ({"a": "needs: {memory: 4}", "b": "needs: {memory: 4}", "c": "needs: {memory: 5}"},
         "there is no node for group `c`, even when all are well: n1: it needs 5 of memory"),
        ({"a": "apart_from: [b, c]", "b": "apart_from: [c]", "c": ""}, "there is no node for group `c`"),
        ({"a": "nodes: [n1]", "b": "nodes: [n2], together_with: [a]"},
         "there is no node for group `b`, even when all are well: n1: not in the group's nodes; n2: a, with which it"),
    ],
)  # fmt: skip
def test_what_contradicts_is_refused_with_its_place(groups: dict[str, str], problem: str) -> None:
    found = "\n".join(problems(cluster(**groups)))
    assert problem in found


def test_all_at_once() -> None:
    found = problems(cluster(a="after: [x], where: nope == 1, never: [n7], needs: {memory: 99}", b="weights: {q: 2}"))
    assert sum("groups[" in line for line in found) >= 5


def test_a_relation_to_a_disabled_group_is_doubtful() -> None:
    checked = check_text(cluster(a="after: [b]", b="enabled: false"), "cluster.yaml")
    assert any("group `b` is disabled, so `a` does not run either" in str(warning) for warning in checked.warnings)
