"""An agent of the tests' own, and cgroups for what it starts."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hactl.linux.cgroup import Cgroup, prepare_root
from hactl.resources import factory
from hactl.resources.base import NodeContext
from hactl.resources.ocf.resource import Ocf
from tests.support.specs import resource_spec
from tests.support.toy_ocf import ToyOcf

Make = Callable[..., Ocf]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyOcf:
    return ToyOcf(tmp_path, monkeypatch)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[NodeContext]:
    """With cgroups, the daemon's among them."""
    root = prepare_root(f"hactl-test-{uuid.uuid4().hex[:8]}")
    if root is None:
        pytest.skip("needs root and cgroup v2")
    daemon = Cgroup(f"{root}/daemon")
    daemon.create()
    try:
        yield NodeContext("n1", str(tmp_path / "state"), f"{root}/resources", daemon.path)
    finally:
        asyncio.run(Cgroup(root).kill_all(5))
        Cgroup(root).remove()


@pytest.fixture
def make(context: NodeContext, toy: ToyOcf) -> Make:
    """A resource of the toy agent, in a new daemon each time."""

    def made(options: dict[str, Any] | None = None, **timings: float) -> Ocf:
        spec = resource_spec("toy", "ocf", toy.options() if options is None else options, **timings)
        resource = factory.make(spec, context, "group")
        assert isinstance(resource, Ocf)
        return resource

    return made
