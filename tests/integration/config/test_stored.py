"""The stored configuration: the document and back, differences, changes that are refused while groups run, apply on a
store."""

from __future__ import annotations

from pathlib import Path

from hactl.admin.config import check_file
from hactl.model.cluster import ResourceSpec
from tests.unit.config.test_stored import EXAMPLE


def test_check_file_reports(tmp_path: Path) -> None:
    report = check_file(EXAMPLE)
    assert report.ok
    assert f"{EXAMPLE}: ok" in report.lines
    assert "  vip: 6.594s, then 5s to start" in report.lines
    assert sum(line.startswith("warning: ") for line in report.lines) == 1
    wrong = tmp_path / "cluster.yaml"
    wrong.write_text(EXAMPLE.read_text().replace("cluster: demo", "clutser: demo"))
    report = check_file(wrong)
    assert not report.ok
    assert report.lines[-1] == f"{wrong}: 1 error: nothing changed"
    assert "did you mean `cluster`?" in report.lines[0]


def test_check_file_on_a_node() -> None:
    asked = []

    def check_here(resource: ResourceSpec) -> list[str]:
        asked.append(resource.name)
        return ["there is no such interface"] if resource.kind == "vip" else []

    report = check_file(EXAMPLE, node="n1", check_here=check_here)
    assert not report.ok
    says = "groups[0].resources[0].vip: on this node, n1: there is no such interface"
    assert report.lines[0] == f"error: {EXAMPLE}:68:14: {says}"
    assert "pod" in asked
    assert check_file(EXAMPLE, node="n9", check_here=check_here).ok
