"""No agent outlasts its deadline: not when its starter is dead or frozen, not in a session of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fencing.agents.process import StartError, run_bounded
from tests.support.cgroups import own_cgroup

LONG = 30.0
Write = Callable[..., str]

STARTER = """
import asyncio, sys
from fencing.agents.process import run_bounded
asyncio.run(run_bounded([sys.argv[1]], stdin=b"", timeout_s=1.0, max_output=100))
"""


@pytest.mark.parametrize("stop_signal", [signal.SIGKILL, signal.SIGSTOP])
def test_an_agent_ends_when_its_starter_is_dead_or_frozen(agent: Write, pipe: Any, stop_signal: signal.Signals) -> None:
    path = agent(f"exec 9>{pipe.path}; echo begun >&9; sleep {LONG} & sleep {LONG}; echo late >&9")
    with subprocess.Popen([sys.executable, "-c", STARTER, path], cwd=Path(__file__).parents[4]) as starter:
        try:
            assert pipe.line() == b"begun\n"
            starter.send_signal(stop_signal)
            # Both are gone, long before they would have been by themselves.
            assert pipe.rest() == b""
        finally:
            starter.kill()


@pytest.fixture
def cgroup() -> Iterator[Path]:
    with own_cgroup("agent") as path:
        yield path


def run(argv: list[str], timeout_s: float, cgroup: str | None) -> tuple[int | None, bool]:
    result = asyncio.run(run_bounded(argv, stdin=b"", timeout_s=timeout_s, max_output=1000, cgroup=cgroup))
    return result.returncode, result.timed_out


@pytest.mark.parametrize("late", [True, False])
def test_a_session_of_its_own_is_in_the_cgroup(
    agent: Write, pipe: Any, cgroup: Path, tmp_path: Path, late: bool
) -> None:
    """As ssh, started on a terminal of its own, is: also when its agent ends before it."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    path = agent(
        f"setsid sh -c 'exec 9>{pipe.path}; echo >{ready}; sleep {LONG}; echo late >&9' >/dev/null 2>&1 &\n"
        f"cat {ready}; {f'sleep {LONG}' if late else 'exit 0'}"
    )
    status, timed_out = run([path], 1.0 if late else LONG, str(cgroup))
    assert (timed_out, status) == (late, -signal.SIGKILL if late else 0)
    assert pipe.rest() == b""
    assert [child for child in cgroup.iterdir() if child.is_dir()] == []


def test_a_cgroup_that_is_none(agent: Write, tmp_path: Path) -> None:
    path = agent("exit 0")
    with pytest.raises(StartError, match="cannot make the cgroup"):
        run([path], LONG, str(tmp_path / "none"))
    # It is not run outside of it.
    with pytest.raises(StartError, match="not in a cgroup v2"):
        run([path], LONG, str(tmp_path))
