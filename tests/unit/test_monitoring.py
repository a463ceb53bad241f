"""deploy/prometheus and deploy/grafana name metrics, labels and values that the product has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from hactl.config.load import read_cluster
from hactl.config.node import load_node
from hactl.status.etcd.problems import PROBLEMS
from tests.support.promql import labels, problems
from tools.grafana.__main__ import FILE
from tools.grafana.dashboard import text
from tools.grafana.rows import ROWS

ROOT = Path(__file__).parents[2]


def rules() -> list[dict[str, Any]]:
    parsed = YAML(typ="safe").load((ROOT / "deploy/prometheus/alerts.yaml").read_text(encoding="utf-8"))
    return [rule for group in parsed["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    parsed: list[dict[str, Any]] = json.loads((ROOT / FILE).read_text(encoding="utf-8"))["panels"]
    return parsed


SHOWN = [panel for panel in panels() if panel["type"] != "row"]


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ('max by (group) (hactl_group_owned{cluster="c"}) == 0', []),
        ("rate(hactl_renew_seconds_bucket[5m]) and on (instance, le) hactl_renew_seconds_bucket", []),
        ("hactl_group_owner", ["hactl_group_owner: no such metric"]),
        ("hactl_group_owned_bucket", ["hactl_group_owned_bucket: no such metric"]),
        ('hactl_nodes{cluster="c", stat="x"}', ["hactl_nodes has no label stat"]),
        ('hactl_nodes{state=~"online|gone"}', ["state of hactl_nodes is never gone"]),
        ("sum by (server) (hactl_nodes)", ["no series here has the label server"]),
        ("vector(0)", ["names no metric"]),
    ],
)
def test_the_reader_of_expressions(expr: str, expected: list[str]) -> None:
    assert list(problems(expr)) == expected


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_alerts_name_what_there_is(rule: dict[str, Any]) -> None:
    assert list(problems(rule["expr"])) == []
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    assert named <= labels(rule["expr"])
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}


def test_every_problem_of_etcd_has_an_alert() -> None:
    by_level: dict[str, set[str]] = {"error": set(), "warning": set(), "notice": set()}
    for code, level in PROBLEMS.items():
        by_level[level].add(code)
    expressions = {rule["alert"]: re.findall(r'problem=~?"([\w|]+)"', rule["expr"]) for rule in rules()}
    alerted = {name: set(matches[0].split("|")) for name, matches in expressions.items() if matches}
    assert alerted["HactlEtcdUnusable"] == by_level["error"]
    assert alerted["HactlEtcdWeakened"] | alerted["HactlEtcdSnapshotOld"] == by_level["warning"]


def test_what_is_scraped() -> None:
    scrape = YAML(typ="safe").load((ROOT / "deploy/prometheus/scrape.yaml").read_text(encoding="utf-8"))
    listen = load_node(ROOT / "deploy/examples/node.toml").metrics_listen.rpartition(":")[2]
    [job] = scrape["scrape_configs"][0]["static_configs"]
    assert {target.rpartition(":")[2] for target in job["targets"]} == {listen}
    nodes = [node.address for node in read_cluster(ROOT / "deploy/examples/cluster.yaml").spec.nodes]
    assert [target.rpartition(":")[0] for target in job["targets"]] == nodes
    assert set(job["labels"]) == {"cluster"}


def test_the_dashboard_is_up_to_date() -> None:
    assert (ROOT / FILE).read_text(encoding="utf-8") == text(ROWS), "run `python -m tools.grafana`"


@pytest.mark.parametrize("panel", SHOWN, ids=lambda panel: panel["title"])
def test_panels_show_what_there_is(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    for target in panel["targets"]:
        assert 'cluster="$cluster", instance=~"$instance"' in target["expr"]
        assert "@" not in target["expr"]
        assert list(problems(target["expr"])) == []
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels(target["expr"])


def test_numbers_titles_and_places_of_panels_are_unique() -> None:
    numbers = [panel["id"] for panel in panels()]
    assert len(set(numbers)) == len(numbers)
    titles = [panel["title"] for panel in panels()]
    assert len(set(titles)) == len(titles)
    places = [panel["gridPos"] for panel in panels()]
    covered = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(set(covered)) == len(covered)
    assert max(x for x, _ in covered) < 24


def test_the_data_source_and_the_cluster_are_chosen() -> None:
    document = json.loads((ROOT / FILE).read_text(encoding="utf-8"))
    chosen = {variable["name"]: variable["type"] for variable in document["templating"]["list"]}
    assert chosen == {"datasource": "datasource", "cluster": "query", "instance": "query"}
    targets = [target for panel in SHOWN for target in panel["targets"]]
    assert {target["datasource"]["uid"] for target in targets} == {"${datasource}"}
