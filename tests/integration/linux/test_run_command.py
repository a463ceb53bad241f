"""Running a command: its end, its output, its deadline."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from hactl.linux.run import CommandError, Completed, run


def sh(script: str, timeout_s: float = 10, **kwargs: object) -> Completed:
    return asyncio.run(run(["sh", "-c", script], timeout_s=timeout_s, **kwargs))  # type: ignore[arg-type]


def gone(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def wait_gone(pid: int, deadline_s: float = 10) -> bool:
    end = time.monotonic() + deadline_s
    while not gone(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return gone(pid)


def test_status_and_both_outputs_come_back() -> None:
    done = sh("echo out; echo err >&2; exit 3")
    assert done == Completed(3, "out\n", "err\n", False)
    assert done.describe() == "ended with exit status 3: err"


def test_input_and_environment_reach_the_command() -> None:
    done = sh('cat; echo "$GREETING"', input="in ", env={"PATH": os.defpath, "GREETING": "hello"})
    assert done.stdout == "in hello\n"


def test_large_output_neither_blocks_the_command_nor_is_kept() -> None:
    script = "import sys; sys.stdout.write('x' * 3_000_000); sys.exit(7)"
    done = asyncio.run(run([sys.executable, "-c", script], timeout_s=20, max_output=1000))
    assert done.returncode == 7
    assert done.stdout == "x" * 1000


def test_the_whole_group_is_killed_at_the_deadline() -> None:
    done = sh("sleep 600 & echo $!; echo begun >&2; wait", timeout_s=0.5)
    assert done.timed_out and done.returncode == -9 and done.stderr == "begun\n"
    assert wait_gone(int(done.stdout))
    assert "did not end in time" in done.describe()


def test_a_command_is_done_when_it_ends_though_a_child_keeps_its_output_open() -> None:
    begun = time.monotonic()
    done = sh("sleep 20 & echo $!")
    os.kill(int(done.stdout), 9)
    assert done.returncode == 0 and time.monotonic() - begun < 15


def test_cancelling_kills_the_group(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    async def scenario() -> None:
        task = asyncio.create_task(run(["sh", "-c", f"echo $$ > {pid_file}; sleep 600"], timeout_s=60))
        while not (pid_file.exists() and pid_file.read_text()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert wait_gone(int(pid_file.read_text()))


@pytest.mark.parametrize(
    ("argv", "cwd", "says"),
    [
        (["no-such-command-here"], None, "command not found: no-such-command-here (looked in"),
        (["/no/such/file"], None, "command not found: /no/such/file"),
        (["/etc/passwd"], None, "not an executable file: /etc/passwd"),
        (["true"], "/no/such/directory", "its directory /no/such/directory does not exist"),
        ([], None, "the command is empty"),
    ],
)
def test_a_command_that_cannot_be_started_says_why(argv: list[str], cwd: str | None, says: str) -> None:
    with pytest.raises(CommandError) as caught:
        asyncio.run(run(argv, timeout_s=5, cwd=cwd))
    assert says in str(caught.value)


def test_no_descriptors_are_left_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        sh("true", input="x")
        sh("sleep 60", timeout_s=0.05)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
