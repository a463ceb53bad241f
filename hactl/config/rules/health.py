"""The rules between health checks and other parts of cluster.yaml; and what is doubtful about them on this machine."""

from __future__ import annotations

from collections.abc import Iterator

from hactl.config.errors import suggest
from hactl.config.parts import Parts, mappings, names
from hactl.config.rules.findings import Finding


def health_findings(parts: Parts) -> Iterator[Finding]:
    """The groups that they name; nodes that ping themselves."""
    known = [named.name for named in names(parts.data, ("groups",))]
    addresses = {node.address: node.name for _, node in parts.nodes}
    for path, check in mappings(parts.data, ("health",)):
        listed = check.get("groups")
        for index, name in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(name, str) and name not in known:
                yield Finding((*path, "groups", index), f"`{name}` is no group of this cluster", suggest(name, known))
        ping = check.get("ping")
        targets = ping.get("targets") if isinstance(ping, dict) else None
        for index, target in enumerate(targets if isinstance(targets, list) else ()):
            if target in addresses:
                text = f"{target} is {addresses[target]}'s: that node always answers itself"
                hint = "ping what no node has: a gateway, a switch"
                yield Finding((*path, "ping", "targets", index), text, hint, refused=False)
