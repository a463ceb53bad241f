"""One lab for all tests that leave it as they found it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hactl.lab.cluster import Lab
from hactl.lab.spec import LabSpec
from hactl.lab.system import wait_until

DAEMON = (sys.executable, str(Path(__file__).parent / "stand_in.py"), "--config", "{node_toml}")


def lab_name(part: str) -> str:
    """A name that no other test run on this machine has."""
    return f"t{part}{os.getpid()}"


def stand_in_spec(part: str, **more: object) -> LabSpec:
    """A lab with stand-ins for the daemon."""
    values: dict[str, object] = {"name": lab_name(part), "profile": "fast", "daemon": DAEMON, "init": (), **more}
    return LabSpec(**values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(stand_in_spec("m")) as running:
        await_daemons(running)
        yield running


def await_daemons(lab: Lab) -> None:
    """Until every node has its daemon, guard and helper."""
    for node in lab.nodes.values():
        for group, count in (("daemon", 2), ("guard", 1)):
            processes = node.group.child(group)
            wait_until(
                lambda g=processes, n=count: len(g.pids()) >= n,  # type: ignore[misc]
                deadline_s=15,
                goal=f"{node.name}: {group} runs",
            )
