"""Programs, directories and sources on a file system whose server is gone: operations that wait for them hold up
neither the daemon's loop nor others that need a thread."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from fencing.linux import aside
from hactl.linux import run as run_module
from hactl.linux.errors import OperationError
from hactl.linux.run import run
from hactl.resources import exec, manifest
from hactl.resources.base import NodeContext, Resource
from hactl.resources.factory import make
from tests.support.hung_files import HungFiles, hung_files
from tests.support.specs import resource_spec

pytestmark = pytest.mark.root


@pytest.fixture
def hung(tmp_path: Path) -> Iterator[HungFiles]:
    with hung_files(tmp_path / "hung") as files:
        yield files


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (exec, manifest):
        monkeypatch.setattr(module, "_LOOK_S", 0.05)


def resource(tmp_path: Path, kind: str, options: dict[str, Any]) -> Resource:
    spec = resource_spec("thing", kind, options, monitor_timeout_ms=200, stop_timeout_ms=200)
    return make(spec, NodeContext("n1", str(tmp_path / "state"), None), "group")


def in_time(hung: HungFiles, work: Coroutine[Any, Any, Any]) -> Any:
    """The result of `work` while the server does not answer: the loop has gone on, and ends though threads wait."""

    async def cut() -> Any:
        try:
            async with asyncio.timeout(0.5):
                return await work
        except TimeoutError:
            return "cancelled"

    result = asyncio.run(cut())
    assert not hung.given_up, "it waited until the file system answered"
    return result


def agent(hung: HungFiles, **changes: Any) -> dict[str, Any]:
    program = [str(hung.path / "agent")]
    return {"start": [*program, "start"], "stop": [*program, "stop"], "monitor": [*program, "monitor"], **changes}


@pytest.mark.parametrize("where", ["program", "directory"])
def test_an_agent_that_hangs_before_it_begins_has_its_time(tmp_path: Path, hung: HungFiles, where: str) -> None:
    options = agent(hung)
    if where == "directory":
        options = {name: ["/bin/true"] for name in options} | {"cwd": str(hung.path)}
    slow = resource(tmp_path, "exec", options)
    assert "did not end in time" in in_time(hung, slow.probe()).detail
    assert in_time(hung, slow.start({})) == "cancelled"


@pytest.mark.parametrize("where", ["program", "directory"])
def test_a_process_that_hangs_before_it_begins(tmp_path: Path, hung: HungFiles, where: str) -> None:
    options = {"command": [str(hung.path / "program")]}
    if where == "directory":
        options = {"command": ["/bin/sleep", "600"], "cwd": str(hung.path)}
    slow = resource(tmp_path, "exec", options)
    assert in_time(hung, slow.start({})) == "cancelled"
    in_time(hung, slow.kill())


@pytest.mark.parametrize("there", ["source", "directory"])
def test_a_manifest(tmp_path: Path, hung: HungFiles, there: str) -> None:
    options = {"directory": str(tmp_path), "source": str(hung.path / "pod.yaml")}
    if there == "directory":
        options = {"directory": str(hung.path), "content": "{kind: Pod, metadata: {name: p}}", "name": "pod.yaml"}
    (tmp_path / "pod.yaml").write_text("{kind: Pod, metadata: {name: p}}")
    slow = resource(tmp_path, "manifest", options)
    assert in_time(hung, slow.probe()) == in_time(hung, slow.start({})) == "cancelled"


def test_a_node_that_does_not_reach_them_is_said_to_be_unfit(tmp_path: Path, hung: HungFiles) -> None:
    slow = resource(tmp_path, "exec", agent(hung))
    assert in_time(hung, slow.ready()) == "thing: the file system of its commands does not answer"
    pod = resource(tmp_path, "manifest", {"directory": str(tmp_path), "source": str(hung.path / "pod.yaml")})
    assert in_time(hung, pod.ready()) == f"thing: the file system of {hung.path}/pod.yaml does not answer"


def test_it_takes_a_few_threads_and_not_all(tmp_path: Path, hung: HungFiles) -> None:
    slow = resource(tmp_path, "exec", agent(hung))

    async def look() -> int:
        for _ in range(aside.MOST):
            await slow.ready()
        for _ in range(20):
            with pytest.raises(OperationError, match="group/thing: its file system does not answer"):
                await slow.ready()
        return await asyncio.to_thread(os.getpid)  # as the rest of the daemon does

    async def main() -> int:
        async with asyncio.timeout(10):
            return await look()

    assert asyncio.run(main()) == os.getpid() and not hung.given_up


def test_a_killed_process_that_hangs_in_the_kernel_does_not_hold_up_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the task that waits for the command is cancelled."""
    wait = subprocess.Popen.wait

    def looked_at(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        assert process.poll() is not None or threading.current_thread() is not threading.main_thread()
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", looked_at)
    monkeypatch.setattr(run_module, "_REAP_TIMEOUT_S", 0.1)
    with hung_files(tmp_path / "hung", taking=True) as hung:
        with pytest.raises(OperationError, match="does not end after SIGKILL"):
            in_time(hung, run([str(hung.path / "program")], timeout_s=0.1))
        assert in_time(hung, run([str(hung.path / "program")], timeout_s=60)) == "cancelled"
