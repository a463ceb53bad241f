"""A cluster's configuration as plain JSON of the model, with nothing left to check: `python -m hactl.config.compiled`
makes it from the stored document on standard input.

The daemon has that done by a process of its own: pydantic and what is built on it cost 10 MB for good, and 100 ms
in which the daemon could do nothing else. Lists come back as lists where the schema gives tuples in `options`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from fencing.topology import Device, Level, NodeFencing, SecretFile, Target, Topology
from hactl.model.cluster import ClusterSpec, GroupSpec, NodeSpec, ResourceSpec, ServiceSpec, Timing


def dump(spec: ClusterSpec) -> dict[str, Any]:
    """What `load` takes, for JSON."""
    return asdict(spec)


def load(raw: dict[str, Any]) -> ClusterSpec:
    """The cluster that `dump` was given. Raises KeyError or TypeError for what is none, or of another version."""
    return ClusterSpec(
        name=raw["name"],
        nodes=tuple(NodeSpec(**one) for one in raw["nodes"]),
        groups=tuple(_group(one) for one in raw["groups"]),
        services=tuple(ServiceSpec(**{**one, "binds": tuple(one["binds"])}) for one in raw["services"]),
        timing=Timing(**raw["timing"]),
        haproxy=raw["haproxy"],
        fencing=_topology(raw["fencing"]),
    )


def _topology(raw: dict[str, Any]) -> Topology:
    devices = {name: Device(**{**one, "options": _options(one["options"])}) for name, one in raw["devices"].items()}
    nodes = {
        name: NodeFencing(**{**one, "levels": tuple(_level(level) for level in one["levels"])})
        for name, one in raw["nodes"].items()
    }
    return Topology(devices, nodes, raw["test_interval_ms"])


def _options(raw: dict[str, Any]) -> dict[str, str | SecretFile]:
    return {name: one if isinstance(one, str) else SecretFile(**one) for name, one in raw.items()}


def _level(raw: dict[str, Any]) -> Level:
    return Level(tuple(Target(**one) for one in raw["targets"]), raw["watchdog"])


def _group(raw: dict[str, Any]) -> GroupSpec:
    resources = tuple(ResourceSpec(**one) for one in raw["resources"])
    return GroupSpec(**{**raw, "resources": resources, "nodes": tuple(raw["nodes"])})


def main() -> None:
    """Entry point: writes `{"spec": …}`, or `{"problem": …}` for a document that is refused."""
    from hactl.config.document import read_stored  # noqa: PLC0415 - heavy
    from hactl.config.errors import ConfigErrors  # noqa: PLC0415

    try:
        found: dict[str, Any] = {"spec": dump(read_stored(sys.stdin.read(), checked=False).spec)}
    except ConfigErrors as error:
        found = {"problem": str(error)}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
