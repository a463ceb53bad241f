"""`hactl cluster rolling-reboot`: what it refuses before anything is done. The whole way: tests/lab/cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from hactl.cli.rolling import FILE
from hactl.config.node import NodeConfig
from tests.integration.cli.conftest import Run
from tests.support.scene import Scene

COMMAND = ("cluster", "rolling-reboot")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--no-reboot"], "--no-reboot needs a --command"),
        (["--resume", "--only", "n1"], "--resume goes on with the options of the one that stopped"),
        (["--resume", "--new"], "leave the others out"),
        (["--timeout", "soon"], "soon"),
    ],
)
def test_bad_options(hactl: Run, config: NodeConfig, words: list[str], problem: str) -> None:
    status, _, err = hactl(*COMMAND, *words)
    assert status == 2
    assert problem in err


def test_there_is_nothing_to_resume(hactl: Run, config: NodeConfig) -> None:
    status, _, err = hactl(*COMMAND, "--resume")
    assert status == 1
    assert f"nothing to resume: there is no {config.state_dir}/{FILE}" in err


def test_it_is_refused_unless_all_is_well(hactl: Run, scene: Scene, config: NodeConfig) -> None:
    status, _, err = hactl(*COMMAND)
    assert status == 1
    assert "not all is well: etcd has 1 member for 3 nodes" in err and "Nothing was done" in err
    assert not Path(config.state_dir, FILE).exists()
    assert not scene.view.standby


@pytest.mark.parametrize("content", ["", "{}", '{"nodes": 7}', "\x00\xff"])
def test_a_file_that_is_no_plan(hactl: Run, config: NodeConfig, content: str) -> None:
    Path(config.state_dir, FILE).write_text(content)
    for words in ([], ["--resume"]):
        status, _, err = hactl(*COMMAND, *words)
        assert status == 1
        assert f"{config.state_dir}/{FILE} cannot be read" in err and "--new" in err
