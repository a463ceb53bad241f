"""Promoted roles in cluster.yaml: what they become, and what is refused, with place and hint."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import msgspec
import pytest
from ruamel.yaml import YAML

from hactl.config import compiled
from hactl.config.diff import diff, guarded_groups
from hactl.config.document import document, parse_document
from hactl.config.load import check_text, load_cluster, parse_cluster
from hactl.model.resources import OcfSpec, PromoteSpec, SystemdSpec, runs_alike
from tests.support.cluster_text import edited, problems

ROOT = Path(__file__).parents[3]

GOOD = """\
cluster: demo
nodes:
  - {name: n1, address: 10.0.0.11}
  - {name: n2, address: 10.0.0.12}
  - {name: n3, address: 10.0.0.13}
groups:
  - name: db
    run: all
    nodes: [n1, n2, n3]
    resources:
      - {name: redis, systemd: {unit: redis-server.service}}
      - {name: agent, ocf: {agent: "pacemaker:Stateful"}, stop_timeout: 40s}
      - {name: files, mount: {device: "server:/export", directory: /srv/files}}
  - name: primary
    fencing: required
    nodes: [n2, n1]
    resources:
      - name: role
        promote: {of: db/redis, promote: [/bin/p], demote: [/bin/d], role: [/bin/r], score: [/bin/s]}
      - {name: address, vip: {address: 10.0.0.30/24}}
  - name: by-agent
    fencing: required
    resources:
      - {name: role, promote: {of: db/agent}}
"""

changed = partial(edited, GOOD)
ROLE = "groups[1].resources[0].promote"
AGENT = "groups[2].resources[0].promote"


def role(text: str, group: str = "primary") -> PromoteSpec:
    found = parse_cluster(text).group(group)
    assert found is not None and isinstance(found.resources[0], PromoteSpec)
    return found.resources[0]


def test_it_has_the_definition_of_its_instance() -> None:
    spec = parse_cluster(GOOD)
    options = role(GOOD).options
    assert (options.of, options.promote, options.score) == ("db/redis", ("/bin/p",), ("/bin/s",))
    assert isinstance(options.instance, SystemdSpec) and options.instance == spec.groups[0].resources[0]
    instance = role(GOOD, "by-agent").options.instance
    assert isinstance(instance, OcfSpec) and instance == spec.groups[0].resources[1]


def test_what_is_stored_and_what_is_compiled_are_the_same() -> None:
    spec = parse_cluster(GOOD)
    assert parse_document(document(spec)) == spec
    assert "instance" not in document(spec) and "clone_max" not in document(spec)
    assert compiled.load(json.loads(json.dumps(compiled.dump(spec)))) == spec


def test_an_agent_is_told_how_often_it_runs_and_is_promoted() -> None:
    options = parse_cluster(GOOD).groups[0].resources[1].options
    assert (options.clone_max, options.promoted_max) == (3, 1)
    unpromoted = changed(
        ("  - name: by-agent\n    fencing: required\n    resources:\n", ""),
        ("      - {name: role, promote: {of: db/agent}}\n", ""),
    )
    options = parse_cluster(unpromoted).groups[0].resources[1].options
    assert (options.clone_max, options.promoted_max) == (3, 0)


CASES: dict[str, tuple[tuple[tuple[str, str], ...], str, str, str]] = {
    "no group": ((("of: db/redis", "of: dbs/redis"),), f"{ROLE}.of", "`dbs` is no group", "did you mean `db`?"),
    "no resource": (
        (("of: db/redis", "of: db/reddis"),),
        f"{ROLE}.of",
        "group `db` has no resource `reddis`",
        "did you mean `redis`?",
    ),
    "no pair": ((("of: db/redis", "of: redis"),), f"{ROLE}.of", "`redis` names no resource", "GROUP/RESOURCE"),
    "none": ((("of: db/redis, ", ""),), f"{ROLE}.of", "is missing", "such as `of: db/redis`"),
    "itself": (
        (("of: db/redis", "of: primary/role"),),
        f"{ROLE}.of",
        "`primary/role` is in this group itself",
        "a group of its own",
    ),
    "on one node at a time": (
        (("    run: all\n", "    fencing: required\n"),),
        f"{ROLE}.of",
        "group `db` runs on one node at a time",
        "give group `db` `run: all`",
    ),
    "a kind without a role": (
        (("of: db/redis", "of: db/files"),),
        f"{ROLE}.of",
        "`db/files` is of kind mount, which cannot be promoted",
        "one of the kinds systemd, exec, ocf",
    ),
    "no promote": (
        (("promote: [/bin/p], ", ""),),
        f"{ROLE}.promote",
        "is missing: `db/redis` is of kind systemd",
        'such as `promote: ["/usr/local/sbin/database", "promote"]`',
    ),
    "no demote": ((("demote: [/bin/d], ", ""),), f"{ROLE}.demote", "is missing: `db/redis`", "such as `demote"),
    "no role": ((("role: [/bin/r], ", ""),), f"{ROLE}.role", "is missing: `db/redis`", "such as `role"),
    "a text": ((("[/bin/r]", "/bin/r now"),), f"{ROLE}.role", "no shell", '["/bin/r", "now"]'),
    "commands beside an agent": (
        (("{of: db/agent}", "{of: db/agent, role: [x], score: [y]}"),),
        f"{AGENT}.score",
        "`db/agent` is driven by the agent pacemaker:Stateful",
        "leave out `score`",
    ),
    "on other nodes": (
        (("nodes: [n1, n2, n3]", "nodes: [n1, n3]"),),
        "groups[1].nodes",
        "group `db`, whose instance `primary` promotes, does not run on n2",
        "some of those of `db`",
    ),
    "on all nodes": (
        (("nodes: [n1, n2, n3]", "nodes: [n1, n2]"),),
        "groups[2].nodes",
        "does not run on n3",
        "some of those of `db`",
    ),
    "never there": (
        (("    run: all\n", "    run: all\n    never: [n2]\n"), ("nodes: [n1, n2, n3]", "nodes: [n1, n3]")),
        "groups[1].nodes",
        "does not run on n2",
        "",
    ),
    "twice": (
        (("promote: {of: db/agent}", "promote: {of: db/redis, promote: [p], demote: [d], role: [r]}"),),
        f"{AGENT}.of",
        "groups `primary` and `by-agent` both promote `db/redis`",
        "give `by-agent` `apart_from: [primary]`",
    ),
    "twice in a group": (
        (
            ("  - name: by-agent\n    fencing: required\n    resources:\n", ""),
            (
                "name: role, promote: {of: db/agent}",
                "name: b, promote: {of: db/redis, promote: [p], demote: [d], role: [r]}",
            ),
        ),
        "groups[1].resources[2].promote.of",
        "`db/redis` is promoted in this group already",
        "leave one of them out",
    ),
    "an agent's stop takes too long for a lease": (
        (("  - name: by-agent\n    fencing: required\n", "  - name: by-agent\n"),),
        f"{AGENT}.of",
        "`stop` may take stop_timeout 40s",
        "fencing: required",
    ),
    "a unit that is more than processes": (
        (
            ("redis-server.service", "redis.target"),
            ("  - name: primary\n    fencing: required\n", "  - name: primary\n"),
        ),
        f"{ROLE}.of",
        "killing processes does not stop `redis.target`",
        "fencing: required",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_refused(case: str) -> None:
    changes, path, problem, hint = CASES[case]
    found = problems(changed(*changes))
    fitting = [one for one in found if problem in one.problem and hint in one.hint and one.path == path]
    assert fitting and fitting[0].place is not None, found


def test_each_problem_is_reported_at_once() -> None:
    text = changed(
        ("promote: [/bin/p], demote: [/bin/d], ", ""),
        ("of: db/agent", "of: db/agent, role: [x]"),
        ("nodes: [n1, n2, n3]", "nodes: [n1, n3]"),
    )
    assert {problem.path for problem in problems(text)} == {
        f"{ROLE}.promote", f"{ROLE}.demote", f"{AGENT}.role", "groups[1].nodes", "groups[2].nodes"
    }  # fmt: skip


def test_several_groups_promote_one_resource_if_they_are_apart() -> None:
    text = changed(
        ("promote: {of: db/agent}", "promote: {of: db/redis, promote: [p], demote: [d], role: [r]}"),
        ("  - name: by-agent\n", "  - name: by-agent\n    apart_from: [primary]\n"),
    )
    assert len(parse_cluster(text).groups) == 3
    should = text.replace("[primary]", "[{group: primary, must: false}]")
    assert [problem.path for problem in problems(should)] == [f"{AGENT}.of"]


def test_a_change_of_the_instance_is_shown_where_it_is_made() -> None:
    old, new = parse_cluster(GOOD), parse_cluster(changed(("redis-server.service", "redis.service")))
    assert [change.path for change in diff(old, new)] == ["groups.db.resources.redis.options.unit"]
    more = parse_cluster(changed(("nodes: [n1, n2, n3]", "nodes: []")))
    assert [change.path for change in diff(old, more)] == ["groups.db.nodes"]


def test_a_role_that_moves_to_another_group_needs_the_first_to_be_released() -> None:
    new = parse_cluster(changed(("name: primary", "name: second")))
    assert "`db/redis` moves to group `second`" in guarded_groups(parse_cluster(GOOD), new)["primary"]


def test_it_runs_alike_however_often_and_by_whatever_it_is_watched() -> None:
    """A node more, or another interval of the instance's monitor, must not demote a primary."""
    one = role(GOOD, "by-agent")
    more = role(
        changed(
            ("stop_timeout: 40s", "stop_timeout: 40s, monitor_interval: 3s"),
            ("nodes: [n1, n2, n3]", "nodes: []"),
            ("groups:\n", "  - {name: n4, address: 10.0.0.14}\ngroups:\n"),
        ),
        "by-agent",
    )
    assert one != more and runs_alike(one, more)
    assert one.options.instance is not None and more.options.instance is not None
    assert runs_alike(one.options.instance, more.options.instance)
    assert not runs_alike(one, role(changed(("pacemaker:Stateful", "heartbeat:Stateful")), "by-agent"))
    assert not runs_alike(role(GOOD), role(changed(("[/bin/d]", "[/bin/e]"))))
    assert runs_alike(role(GOOD), role(changed(("[/bin/s]", "[/bin/t]"))))
    plain = msgspec.structs.replace(one.options.instance.options, promoted_max=0)
    assert not runs_alike(one.options.instance, msgspec.structs.replace(one.options.instance, options=plain)), (
        "an agent starts otherwise what can be promoted"
    )


def test_the_example_and_the_page_are_sound() -> None:
    """deploy/examples/redis.yaml, and every configuration in docs/promotable.md."""
    group = load_cluster(ROOT / "deploy/examples/redis.yaml").group("db-primary")
    assert group is not None and [resource.kind for resource in group.resources] == ["vip", "promote"]
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/promotable.md").read_text(), re.MULTILINE | re.DOTALL)
    nodes = "cluster: page\nnodes: [{name: n1, address: 10.0.0.11}, {name: n2, address: 10.0.0.12}]\n"
    checked = [check_text(nodes + block, "page").spec for block in blocks if "groups" in YAML(typ="safe").load(block)]
    assert len(checked) >= 3
