"""Rows of panels as Grafana's JSON (schema version 39: Grafana 10 and later)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tools.grafana.panel import COLUMNS, Good, Kind, Panel, Row

_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_CHOSEN = 'cluster="$cluster", instance=~"$instance"'
_HEIGHT = 7
_GREEN, _RED, _BLUE = "green", "red", "blue"

_OPTIONS: dict[Kind, dict[str, Any]] = {
    "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "textMode": "value_and_name"},
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "state-timeline": {"mergeValues": True, "showValue": "never", "rowHeight": 0.8, "legend": {"showLegend": False}},
    "bargauge": {"reduceOptions": {"calcs": ["lastNotNull"]}, "orientation": "horizontal", "displayMode": "basic"},
}


def dashboard(rows: tuple[Row, ...]) -> dict[str, Any]:
    """The whole document."""
    return {
        "uid": "hactl",
        "title": "hactl",
        "description": "Groups, nodes, etcd, HAProxy, fencing and daemons of a cluster. Every metric: docs/metrics.md.",
        "tags": ["hactl"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": list(_placed(rows)),
    }


def text(rows: tuple[Row, ...]) -> str:
    """The file."""
    return json.dumps(dashboard(rows), indent=1) + "\n"


def _variables() -> list[dict[str, Any]]:
    """The data source; the cluster; its nodes."""
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    return [
        source,
        _labels("cluster", "Cluster", "label_values(hactl_up, cluster)"),
        _labels("instance", "Node", 'label_values(hactl_up{cluster="$cluster"}, instance)')
        | {"multi": True, "includeAll": True, "current": {"text": "All", "value": "$__all"}},
    ]


def _labels(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,  # also when the time changes
        "sort": 1,
    }


def _placed(rows: tuple[Row, ...]) -> Iterator[dict[str, Any]]:
    """All rows and panels, with numbers and places."""
    number, top = 1, 0
    for row in rows:
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        number, top, left = number + 1, top + 1, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left = top + _HEIGHT, 0
            place = {"x": left, "y": top, "w": panel.width, "h": _HEIGHT}
            yield {"id": number, "gridPos": place} | _panel(panel)
            number, left = number + 1, left + panel.width
        top += _HEIGHT


def _panel(panel: Panel) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": _DATASOURCE,
            "expr": query.expr.replace("@", _CHOSEN),
            "legendFormat": query.legend,
        }
        for index, query in enumerate(panel.queries)
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "targets": targets,
        "options": _OPTIONS[panel.kind],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    """The unit and the colours."""
    defaults: dict[str, Any] = {"unit": panel.unit, "noValue": "none"}
    if panel.kind == "timeseries":
        return defaults | {"min": 0, "color": {"mode": "palette-classic"}, "custom": {"fillOpacity": 10}}
    if panel.kind == "state-timeline":
        defaults["custom"] = {"fillOpacity": 80, "lineWidth": 0}
    return defaults | {"color": {"mode": "thresholds"}, "thresholds": _thresholds(panel.good, panel.low)}


def _thresholds(good: Good, low: float | None) -> dict[str, Any]:
    """The colour of the lowest values, and of those from a value on."""
    first, second, at = {
        "": (_BLUE, _BLUE, 1.0),
        "one": (_RED, _GREEN, 1.0),
        "none": (_GREEN, _RED, 1.0),
        "shown": (_BLUE, _BLUE, 1.0),
    }[good]
    if low is not None:
        first, second, at = _RED, _GREEN, low
    return {"mode": "absolute", "steps": [{"color": first, "value": None}, {"color": second, "value": at}]}
