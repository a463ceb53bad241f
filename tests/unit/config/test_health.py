"""Health checks in cluster.yaml: every mistake with its place and a fix; stored, and read the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hactl.admin.config import check_file
from hactl.config import compiled
from hactl.config.diff import diff
from hactl.config.document import document, parse_document
from hactl.config.errors import ConfigErrors
from hactl.config.load import check_text
from hactl.model.cluster import ClusterSpec
from hactl.model.health import Disk, Load, Pressure

HEAD = """\
cluster: demo
nodes: [{name: n1, address: 10.0.0.11}, {name: n2, address: 10.0.0.12}, {name: n3, address: 10.0.0.13}]
groups: [{name: db, resources: [{name: a, exec: {command: [/bin/sleep, infinity]}}]}]
"""
GOOD = """\
health:
  - {name: a, disk: {path: /, free: 2GiB, write: true}, interval: 5s, timeout: 1s, rise: 1, fall: 9, groups: [db]}
  - {name: b, link: {interface: bond0}, then: last}
  - {name: c, ping: {targets: [10.0.0.1, "fd00::1"], at_least: 2}, then: attribute}
  - {name: d, route: {to: [10.0.0.1]}}
  - {name: e, pressure: {memory: 40%}}
  - {name: f, load: {per_cpu: 8}}
  - {name: g, clock: {max_error: 20ms}}
  - {name: h, command: [/bin/true]}
"""


def spec(text: str) -> ClusterSpec:
    return check_text(HEAD + text, "cluster.yaml").spec


def test_all_kinds() -> None:
    checks = {check.name: check for check in spec(GOOD).health}
    assert checks["a"].disk == Disk("/", "2GiB", "1%", True, True)
    assert (checks["a"].interval_ms, checks["a"].rise, checks["a"].fall, checks["a"].groups) == (5000, 1, 9, ("db",))
    assert (checks["b"].then, checks["c"].then, checks["d"].then) == ("last", "attribute", "unfit")
    assert checks["e"].pressure == Pressure("40%") and checks["f"].load == Load(8)
    assert checks["g"].clock is not None and checks["g"].clock.max_error_ms == 20
    assert checks["a"].concerns("db") and not checks["a"].concerns("other") and not checks["c"].concerns("db")


def test_stored_and_read_the_same() -> None:
    wanted = spec(GOOD)
    assert parse_document(document(wanted)) == wanted
    assert compiled.load(json.loads(json.dumps(compiled.dump(wanted)))) == wanted
    assert "health" not in json.loads(document(spec(""))) and "health" not in compiled.dump(spec(""))
    assert [str(change) for change in diff(wanted, spec(GOOD.replace("2GiB", "3GiB")))] == [
        "~ health.a.disk.free: 2GiB -> 3GiB"
    ]


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("{name: a}", "checks nothing; give one of `disk`, `link`"),
        ("{name: a, load: {per_cpu: 1}, link: {interface: e}}", "has `link` and `load`; give one of"),
        ("{name: a, disk: {path: var}}", "`var` is no absolute path"),
        ("{name: a, disk: {path: /, free: 5 percent}}", "`5 percent` is no part of a whole; such as `5%` or `2GiB`"),
        ("{name: a, disk: {path: /, free: 120%}}", "`120%` is more than all"),
        ("{name: a, disk: {path: /, fre: 5%}}", "fre: unknown key; did you mean `free`?"),
        ("{name: a, link: {interface: 'a b'}}", "no network interface's name"),
        ("{name: a, ping: {targets: [gw.example.com]}}", "is no IP address"),
        ("{name: a, ping: {targets: []}}", "targets: is empty"),
        ("{name: a, ping: {targets: [10.0.0.1], at_least: 2}}", "`at_least` is 2, and there are 1 targets"),
        ("{name: a, pressure: {}}", "has none of `memory`, `io`, `cpu`"),
        ("{name: a, pressure: {memory: 2GiB}}", "`2GiB` is no percentage; such as `40%`"),
        ("{name: a, load: {per_cpu: 0}}", "per_cpu: is 0; give more than 0"),
        ("{name: a, clock: {max_error: 5}}", "max_error"),
        ("{name: a, command: df -h}", "write the words as a list"),
        ("{name: a, link: {interface: e}, then: poor}", "then: is \"poor\"; allowed: unfit, last, attribute"),
        ("{name: a, link: {interface: e}, timeout: 20s}", "`timeout` is longer than `interval`"),
        ("{name: a, link: {interface: e}, groups: [dbb]}", "`dbb` is no group of this cluster; did you mean `db`?"),
        ("{name: a, link: {interface: e}}\n  - {name: a, link: {interface: f}}", "a health check named `a` is there"),
    ],
)  # fmt: skip
def test_a_mistake(check: str, words: str) -> None:
    with pytest.raises(ConfigErrors) as refused:
        spec(f"health:\n  - {check}\n")
    found = [f"{problem.path}: {problem.problem}; {problem.hint}" for problem in refused.value.problems]
    assert any(words in problem for problem in found), found


def test_pinging_a_node_is_doubtful() -> None:
    loaded = check_text(f"{HEAD}health: [{{name: a, ping: {{targets: [10.0.0.12]}}}}]\n", "cluster.yaml")
    assert any("10.0.0.12 is n2's: that node always answers itself" in str(warning) for warning in loaded.warnings)


@pytest.mark.parametrize(
    ("check", "words", "refused"),
    [
        ("disk: {path: /no/such}", "there is no directory /no/such here", False),
        ("link: {interface: nosuch0}", "there is no interface nosuch0 here", False),
        ("command: [/no/such]", "command not found: /no/such", True),
        ("command: [/etc/passwd]", "not an executable file: /etc/passwd", True),
    ],
)
def test_what_this_node_lacks(tmp_path: Path, check: str, words: str, refused: bool) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(f"{HEAD}health:\n  - {{name: a, {check}}}\n")
    report = check_file(file, node="n1")
    assert report.ok != refused and any(words in line for line in report.lines)
    assert check_file(file).ok  # elsewhere it is a remark


def test_the_settings_of_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs" / "node-health.md").read_text()
    examples = page.split("```yaml\n")[1:]
    assert examples
    for block in examples:
        assert spec(block.partition("```")[0]).health
