"""Fixtures of the daemon's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hactl.config.node import NodeConfig
from hactl.serving.limits import Limits
from tests.support.scene import Scene
from tests.support.stand_in import StandIn, serving
from tests.unit.daemon.conftest import scene

__all__ = ["scene"]


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    return NodeConfig(cluster="demo", node="n2", run_dir=str(tmp_path), operate_group="", read_group="", http_group="")


@pytest.fixture
def daemon(scene: Scene, config: NodeConfig, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr("hactl.daemon.api.routes.LIMITS", Limits(per_second=1e6, burst=1e6))
    with serving(scene, config) as daemon:
        yield daemon
