"""What Tab completes: names of this cluster, from the daemon or from what it kept; nothing, and no error, without."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from hactl.cli import completion
from hactl.config.node import NodeConfig
from hactl.config.presets import KINDS
from hactl.config.presets.show import listed
from hactl.daemon.parts.last_known import LastKnown
from tests.integration.cli.conftest import Run
from tests.support.scene import KEYS, Scene
from tests.support.stand_in import serving

Complete = Callable[[str], list[str]]


@pytest.fixture
def complete(hactl: Run, monkeypatch: pytest.MonkeyPatch) -> Complete:
    """The answers for a line with the cursor at its end, as bash asks for them."""

    def run(line: str) -> list[str]:
        monkeypatch.setenv("_HACTL_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
        status, output, errors = hactl()
        assert (status, errors) == (0, "")
        return output.split()

    return run


LINES = {
    "hactl failover ": ["database", "vip"],
    "hactl failover v": ["vip"],
    "hactl failover vip --to ": ["n1", "n2", "n3"],
    "hactl node standby n": ["n1", "n2", "n3"],
    "hactl group cleanup vip --node n2": ["n2"],
    "hactl timeline d": ["database"],
    "hactl service drain a": ["api"],
    "hactl fence n1": ["n1"],
    "hactl fence history n": ["n1", "n2", "n3"],
    "hactl config render --node n3": ["n3"],
}


@pytest.mark.parametrize("line", LINES)
def test_names_from_the_daemon(complete: Complete, scene: Scene, config: NodeConfig, line: str) -> None:
    with serving(scene, config):
        assert complete(line) == LINES[line]


def test_the_fence_family_has_its_commands_and_the_nodes(complete: Complete, scene: Scene, config: NodeConfig) -> None:
    with serving(scene, config):
        answers = complete("hactl fence ")
    assert {"status", "confirm", "n1", "n2", "n3"} <= set(answers)


def test_names_from_what_the_daemon_kept(complete: Complete, scene: Scene, config: NodeConfig) -> None:
    async def unknown() -> None:
        return None

    with serving(scene, config) as daemon:
        asyncio.run(LastKnown(config.state_dir, KEYS, unknown).look(daemon.state))
    assert complete("hactl failover ") == ["database", "vip"]
    assert complete("hactl service drain a") == ["api"]


def test_without_anything_there_is_no_name_and_no_error(complete: Complete, config: NodeConfig) -> None:
    assert complete("hactl failover ") == []
    Path(config.state_dir, "last-known.json").write_text("[")
    assert complete("hactl failover ") == []


def test_without_settings_there_is_no_name_and_no_error(complete: Complete, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HACTL_CONFIG", "/nonexistent/node.toml")
    assert complete("hactl node standby ") == []


def test_a_daemon_that_does_not_answer_is_not_waited_for(
    complete: Complete, config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion, "LIMIT_S", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(config.api_socket)
        silent.listen()
        assert complete("hactl failover ") == []


def test_presets() -> None:
    assert completion.presets("") == sorted(preset.name for kind in KINDS for preset in listed(kind))
    assert completion.presets("kube-a") == ["kube-apiserver"]
