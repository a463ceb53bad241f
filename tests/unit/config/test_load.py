"""cluster.yaml: what is read, and every error with its place, its setting and its hint."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hactl.config.errors import ConfigErrors
from hactl.config.fields import duration_ms
from hactl.config.load import check_text, load_cluster, parse_cluster
from hactl.decide.timing import PROFILES, format_ms
from hactl.model.cluster import NodeSpec, Timing
from hactl.resources import exec as exec_kind
from hactl.resources import manifest as manifest_kind
from hactl.resources.base import NodeContext
from tests.support.cluster_text import edited, problems

GOOD = """\
cluster: demo
timing: {profile: default}
nodes:
  - {name: n1, address: 10.0.0.11}
  - {name: n2, address: 10.0.0.12}
groups:
  - name: vip
    overlap: true
    nodes: [n2, n1]
    resources:
      - {name: address, vip: {address: 10.0.0.30/24}}
  - name: database
    resources:
      - name: db
        systemd: {unit: mariadb.service}
        stop_timeout: 20s
      - {name: volume, exec: {start: [/bin/a], stop: [/bin/b], kill: [/bin/c], monitor: [/bin/d]}}
services:
  - name: keystone
    binds: ["10.0.0.30:5000"]
    port: 5000
    check: {http: /healthcheck}
"""

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"


changed = partial(edited, GOOD)


def test_good() -> None:
    spec = parse_cluster(GOOD)
    assert spec.name == "demo"
    assert spec.nodes == (NodeSpec("n1", "10.0.0.11"), NodeSpec("n2", "10.0.0.12"))
    assert spec.timing == PROFILES["default"]
    vip, database = spec.groups
    assert (vip.overlap, vip.nodes, vip.resources[0].kind) == (True, ("n2", "n1"), "vip")
    assert vip.resources[0].options.address == "10.0.0.30/24"
    assert database.resources[0].stop_timeout_ms == 20_000
    assert database.resources[1].options.kill == ("/bin/c",)
    assert spec.services[0].options.check.path == "/healthcheck"


def test_example_is_sound() -> None:
    assert load_cluster(EXAMPLES / "cluster.yaml").name == "demo"


def test_profile_and_single_durations_over_it() -> None:
    spec = parse_cluster(changed(("{profile: default}", "{profile: fast, lease: 1.5s}")))
    assert spec.timing == replace(PROFILES["fast"], lease_ms=1500)
    assert parse_cluster(changed(("timing: {profile: default}\n", ""))).timing == Timing()


# What is changed in GOOD; where the one problem is; what its line holds.
CASES = {
    "unknown key": (("address: 10.0.0.11", "adress: 10.0.0.11"), "4:16", "nodes[0].adress", "did you mean `address`?"),
    "unknown key of the file": (("services:", "service:"), "18:1", "service", "unknown key; did you mean `services`?"),
    "unknown resource kind": (
        ("systemd: {unit: mariadb.service}", "system: {unit: mariadb.service}"),
        "15:9",
        "groups[1].resources[0].system",
        "did you mean `systemd`?",
    ),
    "no kind": (
        ("        systemd: {unit: mariadb.service}\n", ""),
        "14:9",
        "groups[1].resources[0]",
        "is of no kind; give exactly one of vip, systemd, exec, ocf, manifest",
    ),
    "option of another kind": (
        ("vip: {address: 10.0.0.30/24}", "vip: {address: 10.0.0.30/24, unit: x}"),
        "11:54",
        "groups[0].resources[0].vip.unit",
        "unknown key; allowed: address, interface",
    ),
    "missing": (("    port: 5000\n", ""), "19:5", "services[0].port", "is missing; such as `port: 5000`"),
    "plain number": (("20s", "20"), "16:23", "groups[1].resources[0].stop_timeout", "write `20ms` or `20s`"),
    "no duration": (("20s", "20sec"), "16:23", "groups[1].resources[0].stop_timeout", "`20sec` is no duration"),
    "zero": (("20s", "0s"), "16:23", "groups[1].resources[0].stop_timeout", "must be more than zero"),
    "not among the allowed": (("profile: default", "profile: slow"), "2:19", "timing.profile", "default, fast, wan"),
    "a text for a boolean": (("overlap: true", "overlap: yes"), "8:14", "groups[0].overlap", "write `true`"),
    "a number for a text": (("name: vip\n", "name: 5\n"), "7:11", "groups[0].name", 'put it in quotes, "5"'),
    "a text for a list": (("[n2, n1]", "n2"), "9:12", "groups[0].nodes", "must be a list"),
    "no name": (("name: vip\n", "name: v/ip\n"), "7:11", "groups[0].name", "`v/ip` is no name"),
    "out of bounds": (("port: 5000", "port: 70000"), "21:11", "services[0].port", "give 65535 or less"),
    "host name for an address": (("10.0.0.12", "n2.example"), "5:25", "nodes[1].address", "no IP address"),
    "two nodes of one name": (
        ("groups:", "  - {name: n2, address: 10.0.0.13}\ngroups:"),
        "6:12",
        "nodes[2].name",
        "already: nodes[1].name",
    ),
    "two nodes of one address": (("0.12", "0.11"), "5:25", "nodes[1].address", "there already: nodes[0].address"),
    "two groups of one name": (("name: database", "name: vip"), "12:11", "groups[1].name", "a group named `vip`"),
    "two resources of one name": (
        ("name: volume", "name: db"),
        "17:16",
        "groups[1].resources[1].name",
        "a resource named `db` is there already: groups[1].resources[0].name",
    ),
    "unknown node": (("[n2, n1]", "[n2, n3]"), "9:17", "groups[0].nodes[1]", "`n3` is no node"),
    "a node twice": (("[n2, n1]", "[n2, n2]"), "9:17", "groups[0].nodes[1]", "name it once"),
    "VIP without length": (("30/24", "30"), "11:40", "groups[0].resources[0].vip.address", "has no prefix length"),
    "VIP that is none": (
        ("10.0.0.30/24", "10.0.0.300/24"),
        "11:40",
        "groups[0].resources[0].vip.address",
        "no address",
    ),
    "VIP that is a network": (
        ("0.30/24", "0.0/24"),
        "11:40",
        "groups[0].resources[0].vip.address",
        "the network",
    ),
    "VIP that is broadcast": (("0.30/24", "0.255/24"), "11:40", "groups[0].resources[0].vip.address", "broadcast"),
    "VIP of a node": (
        ("0.30/24", "0.11/24"),
        "11:40",
        "groups[0].resources[0].vip.address",
        "there already: node",
    ),
    "link-local VIP": (
        ("10.0.0.30/24", '"fe80::30/64"'),
        "11:40",
        "groups[0].resources[0].vip.address",
        "give `interface`",
    ),
    "unit without type": (
        ("mariadb.service", "mariadb"),
        "15:25",
        "groups[1].resources[0].systemd.unit",
        "write `mariadb.service`",
    ),
    "unit that killing does not stop": (
        ("mariadb.service", "srv-db.mount"),
        "15:25",
        "groups[1].resources[0].systemd.unit",
        "killing processes does not stop `srv-db.mount`",
    ),
    "no kill": (
        ("kill: [/bin/c], ", ""),
        "17:30",
        "groups[1].resources[1].exec",
        "stop_timeout 30s, and stop_budget 750ms - self_fence_lead 250ms = 500ms",
    ),
    "a shell's line": (
        ("[/bin/a]", "/bin/a -x"),
        "17:38",
        "groups[1].resources[1].exec.start",
        'write the words as a list: ["/bin/a", "-x"]',
    ),
    "commands and command": (
        ("kill: [/bin/c]", "command: [/bin/c]"),
        "17:30",
        "groups[1].resources[1].exec",
        "has both `command` and `start`",
    ),
    "no monitor": ((", monitor: [/bin/d]", ""), "17:30", "groups[1].resources[1].exec", "lacks `monitor`"),
    "overlap and required": (
        ("overlap: true", "overlap: true\n    fencing: required"),
        "8:14",
        "groups[0].overlap",
        "`fencing: required` never does",
    ),
    "overlap of more than addresses": (
        ("vip: {address: 10.0.0.30/24}", "systemd: {unit: x.service}"),
        "11:9",
        "groups[0].resources[0]",
        "only addresses may be on two nodes",
    ),
    "no bind": (('"10.0.0.30:5000"', "10.0.0.30"), "20:13", "services[0].binds[0]", "no address with port"),
    "binds that collide": (
        ('"10.0.0.30:5000"', '"*:80", "0.0.0.0:70-80"'),
        "20:21",
        "services[0].binds[1]",
        "0.0.0.0:70-80 collides with *:80: services[0].binds[0]",
    ),
    "bind of the service's own": (
        ('"10.0.0.30:5000"', '"*:5000"'),
        "20:13",
        "services[0].binds[0]",
        "itself listens on 10.0.0.11:5000 on n1",
    ),
    "path that is none": (("/healthcheck", "healthcheck"), "22:19", "services[0].check.http", "begin it with `/`"),
    "unsafe timing": (
        ("{profile: default}", "{lease: 3s, stop_budget: 1s}"),
        "2:17",
        "timing.lease",
        "lease 3s - stop_budget 1s = 2s, but 4 x heartbeat 250ms + 2 x etcd_election 1s = 3s; raise lease to 4s",
    ),
    "key twice": (
        ("    port: 5000\n", "    port: 5000\n    port: 1\n"),
        "22:5",
        "services[0].port",
        "in line 21",
    ),
}


@pytest.mark.parametrize(("change", "place", "path", "says"), CASES.values(), ids=list(CASES))
def test_refused(change: tuple[str, str], place: str, path: str, says: str) -> None:
    refused = problems(changed(change))
    assert [problem.path for problem in refused] == [path], "\n".join(map(str, refused))
    assert str(refused[0]).startswith(f"cluster.yaml:{place}: {path}: ")
    assert says in str(refused[0])


def test_every_problem_at_once_in_the_order_of_the_file() -> None:
    text = changed(
        ("name: n2", "name: n1"),
        ("overlap: true", "overlapping: true"),
        ("30/24", "30"),
        ("20s", "20"),
        ("port: 5000", "prot: 5000"),
        ("default", "slow"),
    )
    assert [problem.path for problem in problems(text)] == [
        "timing.profile",
        "nodes[1].name",
        "groups[0].overlapping",
        "groups[0].nodes[0]",
        "groups[0].resources[0].vip.address",
        "groups[1].resources[0].stop_timeout",
        "services[0].prot",
    ]


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("cluster: [a\nnodes: b\n", "2:6", "is not YAML"),
        ("cluster: a: b\n", "1:11", "mapping values are not allowed here"),
        ("a: 1\n---\nb: 2\n", "2:1", "expected a single document"),
        ("binds: [*:80]\n", "1:9", "in quotes"),
        ("- a\n", "1:1", "is no mapping; begin with `cluster: NAME`"),
        ("a: !x 1\ncluster: demo\nnodes: [{name: a, address: 10.0.0.1}]\n", "1:4", "has the tag !x"),
        ("a: &a [*a]\n", "1:4", "alias that makes the document endless"),
    ],
)
def test_syntax(text: str, place: str, says: str) -> None:
    refused = [str(problem) for problem in problems(text)]
    assert any(problem.startswith(f"cluster.yaml:{place}: ") and says in problem for problem in refused), refused


def test_an_alias_may_be_used() -> None:
    text = changed(
        ("10.0.0.30:5000", "10.0.0.30:5001"),
        ("check: {http: /healthcheck}", "check: &c {http: /h}\n  - {name: b, binds: ['*:81'], port: 82, check: *c}"),
    )
    assert [service.options.check.path for service in parse_cluster(text).services] == ["/h", "/h"]


def test_aliases_upon_aliases_end() -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))
    assert any("endless" in problem.problem for problem in problems(text))


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_empty(text: str) -> None:
    (problem,) = problems(text)
    assert "is empty; begin with" in str(problem)


def test_not_there_and_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"absent\.yaml: cannot be read: No such file"):
        load_cluster(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"cluster: \xe4\n")
    with pytest.raises(ConfigErrors, match="is not UTF-8"):
        load_cluster(tmp_path / "latin.yaml")


def test_a_quick_stop_needs_no_kill() -> None:
    text = changed(("kill: [/bin/c], ", ""), ("{name: volume,", "{name: volume, stop_timeout: 500ms,"))
    assert parse_cluster(text).groups[1].resources[1].stop_timeout_ms == 500


def test_required_needs_no_kill() -> None:
    text = changed(("kill: [/bin/c], ", ""), ("name: database", "name: database\n    fencing: required"))
    assert parse_cluster(text).groups[1].fencing == "required"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("[n2, n1]", "[n2]"), "can run on n2 only"),
        (("10.0.0.30:5000", "10.0.0.99:5000"), "is on no VIP"),
        (("name: database", "name: database\n    fencing: required"), "nothing can switch off n1, n2"),
        (("systemd: {unit: mariadb.service}", "manifest: {source: /etc/x.yaml}"), "some time after its file is gone"),
    ],
)
def test_warnings(change: tuple[str, str], says: str) -> None:
    (warning,) = check_text(changed(change), "f").warnings
    assert says in str(warning)
    assert warning.place is not None


def test_the_same_unit_and_the_same_file_twice() -> None:
    agent = "exec: {start: [/bin/a], stop: [/bin/b], kill: [/bin/c], monitor: [/bin/d]}"
    text = changed((agent, "systemd: {unit: mariadb.service}"))
    assert "unit mariadb.service is there already" in str(problems(text)[0])
    text = changed(
        ("systemd: {unit: mariadb.service}", "manifest: {source: /a/x.yaml}"),
        (agent, "manifest: {content: x, name: x.yaml}"),
    )
    assert "file /etc/kubernetes/manifests/x.yaml is there already" in str(problems(text)[0])


def test_a_manifest_is_not_its_own_source() -> None:
    text = changed(("systemd: {unit: mariadb.service}", "manifest: {source: /etc/kubernetes/manifests/a.yaml}"))
    assert "it would run on every node" in str(problems(text)[0])


def test_resources_take_what_is_read(tmp_path: Path) -> None:
    text = changed(("systemd: {unit: mariadb.service}", "manifest: {content: x, name: y.yaml, directory: /tmp}"))
    manifest, agent = parse_cluster(text).groups[1].resources
    context = NodeContext("n1", str(tmp_path), None)
    assert str(manifest_kind.Manifest(manifest, context).path) == "/tmp/y.yaml"
    assert isinstance(exec_kind.make(agent, context), exec_kind.Agent)


@given(st.integers(min_value=0, max_value=10**9) | st.decimals(0, 10**6, places=3).map(float))
def test_a_duration_written_is_the_duration_read(ms: float) -> None:
    assert duration_ms(format_ms(ms)) == ms
