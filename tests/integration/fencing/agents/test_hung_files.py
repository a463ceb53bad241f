"""Agents and secrets on a file system whose server is gone: the action fails in its time, and nothing else waits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fencing.agents.agent import AgentCall, AgentResult, run_agent
from fencing.agents.catalog import describe
from fencing.topology import SecretFile
from tests.support.hung_files import hung_files

pytestmark = pytest.mark.root


@pytest.mark.parametrize("hanging", ["agent", "secret"])
def test_it_fails_in_its_time(tmp_path: Path, hanging: str) -> None:
    agent = tmp_path / "fence_toy"
    agent.write_text("#!/bin/sh\nexit 0\n")
    agent.chmod(0o755)

    async def ask() -> AgentResult:
        path = hung.path / "file"
        options = {"password": SecretFile(str(path))} if hanging == "secret" else {}
        result = await run_agent(AgentCall(str(path if hanging == "agent" else agent), "status", 0.2, options))
        assert not hung.given_up, "the loop waited until the file system answered"
        return result

    with hung_files(tmp_path / "hung") as hung:
        result = asyncio.run(ask())
        assert not hung.given_up
    assert result.outcome == "failed" and "does not answer" in result.detail


def test_an_agent_that_is_asked_about_itself(tmp_path: Path) -> None:
    """As the daemon does whenever the configuration changes."""
    with hung_files(tmp_path / "hung") as hung:
        described = asyncio.run(describe(str(hung.path / "fence_toy"), timeout_s=0.2))
        assert not hung.given_up
    assert described.metadata is None and "does not answer" in described.broken
