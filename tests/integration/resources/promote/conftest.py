"""A node with cgroups, and one instance that two resources drive."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hactl.linux.cgroup import Cgroup, prepare_root
from hactl.resources import factory
from hactl.resources.base import NodeContext, Resource
from tests.support.specs import resource_spec


@pytest.fixture
def context(tmp_path: Path) -> Iterator[NodeContext]:
    root = prepare_root(f"hactl-test-{uuid.uuid4().hex[:8]}")
    if root is None:
        pytest.skip("needs root and cgroup v2")
    Cgroup(f"{root}/daemon").create()
    try:
        yield NodeContext("n1", str(tmp_path / "state"), f"{root}/resources", f"{root}/daemon")
    finally:
        asyncio.run(Cgroup(root).kill_all(5))
        Cgroup(root).remove()


@dataclass
class Pair:
    """An instance by its own group's resource, and its promoted role."""

    instance: Resource
    role: Resource


def pair(context: NodeContext, kind: str, options: dict[str, Any], commands: dict[str, Any], **timings: float) -> Pair:
    """Of group `db`, and of group `primary`, which promotes it."""
    instance = {"name": "it", "kind": kind, "options": options, **timings}
    role = resource_spec("role", "promote", {"of": "db/it", "instance": instance, **commands}, **timings)
    return Pair(
        factory.make(resource_spec("it", kind, options, **timings), context, "db"),
        factory.make(role, context, "primary"),
    )
