"""The health checks of nodes, in the status document and its warnings. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from election.reading import ReadView
from hactl.decide.placement.attributes import checks_of
from hactl.model.cluster import ClusterSpec
from hactl.status.local import Local
from hactl.status.service_warnings import Warning_

_MEANING = {
    "unfit": "it takes no group while another node can, and groups leave it",
    "last": "other nodes come first, and groups leave it for one that is well",
    "attribute": "it is only shown",
}


def node_checks(view: ReadView, spec: ClusterSpec | None, name: str, local: Local | None) -> list[dict[str, Any]]:
    """A node's health checks, failing ones first. `local`: of the node that is asked, with their last values."""
    meant = {check.name: check for check in spec.health} if spec else {}
    checks = local.checks if local and local.checks else checks_of(view, name)
    rows = [
        {"name": check, "then": meant[check].then, "groups": list(meant[check].groups), **known}
        for check, known in checks.items()
        if check in meant
    ]
    return sorted(rows, key=lambda row: (passes(row), row["name"]))


def passes(check: Mapping[str, Any]) -> bool:
    """Whether it passes."""
    return check.get("ok") is not False


def failing_checks(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """The checks that each node fails."""
    return {node["name"]: [row["name"] for row in node["checks"] if not passes(row)] for node in document["nodes"]}


def node_check_warnings(document: Mapping[str, Any]) -> Iterator[Warning_]:
    """One for each check that fails on a node."""
    for node in document["nodes"]:
        for row in node["checks"]:
            if not passes(row):
                level = "notice" if row["then"] == "attribute" else "warning"
                text = f"node {node['name']} fails the health check {row['name']}: {row.get('text', '')}"
                yield level, text, f"fix it on {node['name']}; until then {_MEANING[row['then']]}"
