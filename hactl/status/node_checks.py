"""The health checks of nodes, in the status document and its warnings. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from election.reading import ReadView
from hactl.decide.placement.attributes import checks_of
from hactl.model.cluster import ClusterSpec
from hactl.model.requirements import required_checks, service_of
from hactl.status.local import Local
from hactl.status.service_warnings import Warning_

_OF_SERVICE = {
    "unfit": "these groups leave for a node that is well, and do not start there while there is one",
    "last": "other nodes come first for these groups, and they leave for one that is well",
}
_MEANING = {
    "unfit": "it takes no group while another node can, and groups leave it",
    "last": "other nodes come first, and groups leave it for one that is well",
    "attribute": "it is only shown",
}


def node_checks(view: ReadView, spec: ClusterSpec | None, name: str, local: Local | None) -> list[dict[str, Any]]:
    """A node's health checks, failing ones first. `local`: of the node that is asked, with their last values."""
    meant = _meant(spec) if spec else {}
    checks = {**checks_of(view, name), **(local.checks if local else {})}
    rows = [{"name": check, **meant[check], **known} for check, known in checks.items() if check in meant]
    return sorted(rows, key=lambda row: (passes(row), row["name"]))


def _meant(spec: ClusterSpec) -> dict[str, dict[str, Any]]:
    """What each check means, and to which groups. Of the two that a service may have, the first one means more."""
    meant: dict[str, dict[str, Any]] = {}
    for check in (*spec.health, *required_checks(spec)):
        known = meant.setdefault(check.name, {"then": check.then, "groups": []})
        known["groups"] += check.groups
    return meant


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
            if not passes(row) and service_of(row["name"]):
                yield "warning", *_unserved(node["name"], row)
            elif not passes(row):
                level = "notice" if row["then"] == "attribute" else "warning"
                text = f"node {node['name']} fails the health check {row['name']}: {row.get('text', '')}"
                yield level, text, f"fix it on {node['name']}; until then {_MEANING[row['then']]}"


def _unserved(node: str, row: Mapping[str, Any]) -> tuple[str, str]:
    """A service for which the node's HAProxy does not answer, though groups require it."""
    groups = f"group{'s' if len(row['groups']) > 1 else ''} {', '.join(row['groups'])}"
    text = f"{row['name']}, required by {groups}, is not served by HAProxy on {node}: {row.get('text', '')}"
    return text, f"look from {node} at the servers of the service; until then {_OF_SERVICE[row['then']]}"
