"""This machine's identity: its machine id, its hardware and a secret of its own."""

from __future__ import annotations

from dataclasses import replace

from election.machine import PARTS
from hactl.config.node import NodeConfig
from hactl.daemon.parts.machine import identify
from tests.unit.daemon.test_machine import config

__all__ = ["config"]


def test_real_hardware_never_fails(config: NodeConfig) -> None:
    for address in ("127.0.0.1", "::1", "10.255.255.1", "", "no address"):
        assert len(identify(replace(config, hardware_file=""), address).split(".")) == len(PARTS)
