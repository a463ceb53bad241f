"""This machine's identity: its machine id, its hardware and a secret of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from election.machine import PARTS
from hactl.config.node import NodeConfig
from hactl.daemon.parts.machine import identify


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    (tmp_path / "state").mkdir()
    (tmp_path / "hardware").write_text("4c4c4544-0031-3310-8051-b4c04f4e3532\n52:54:00:aa:bb:cc\n")
    return NodeConfig(cluster="demo", state_dir=f"{tmp_path}/state", hardware_file=f"{tmp_path}/hardware")


def test_real_hardware_never_fails(config: NodeConfig) -> None:
    for address in ("127.0.0.1", "::1", "10.255.255.1", "", "no address"):
        assert len(identify(replace(config, hardware_file=""), address).split(".")) == len(PARTS)
