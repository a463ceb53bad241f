"""The screen of `hactl node show`."""

from __future__ import annotations

from typing import Any

from hactl.cli.output import Style, shorten, table
from hactl.model.text import escaped
from hactl.status.node_checks import passes


def render_node(node: dict[str, Any], style: Style) -> str:
    """A node of the status document."""
    facts = {
        "state": node["state"].replace("_", " "),
        "address": node["address"],
        "version": node["version"],
        "runs": ", ".join([*node["runs"], *node.get("instances", ())]) or "nothing",
        "configuration": "the newest" if node["config_current"] else "not the newest",
    }
    lines = [f"node {node['name']}", *(f"  {name:<14} {escaped(text)}" for name, text in facts.items() if text)]
    for trouble in node["troubles"].values():
        lines.append(shorten(f"  {'trouble':<14} {escaped(trouble.get('what', ''))}", style.width))
    rows = [
        (
            row["name"],
            "ok" if passes(row) else "failed",
            row["then"],
            row.get("since", ""),
            row.get("text", ""),
        )
        for row in node["checks"]
    ]
    if rows:
        lines += ["", *table(("CHECK", "STATE", "THEN", "SINCE", "VALUE"), rows, style, painted=(1,))]
    return "\n".join(lines)
