"""Kind manifest and the pods behind its files: with a stand-in for the kubelet, real files and real processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fencing.guard import stop
from hactl.linux.errors import OperationError
from hactl.resources import factory
from hactl.resources.base import NodeContext, Resource, ResourceError
from hactl.resources.pods import seen
from tests.support import kubelet
from tests.support.ports import free_port
from tests.support.specs import resource_spec
from tests.support.waiting import until, wait_until

DEADLINE_S = 30.0


def pod(name: str) -> str:
    return f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: []}}\n"


class Machine:
    """A directory with a stand-in for the kubelet; `program`: that of its pods, of a name of the test's own."""

    def __init__(self, root: Path) -> None:
        self.manifests, self.sources = root / "manifests", root / "sources"
        self.manifests.mkdir()
        self.sources.mkdir()
        for name in ("a", "b"):
            (self.sources / f"{name}.yaml").write_text(pod(name))
        self.program = root / f"pod{os.getpid()}x{time.monotonic_ns() % 10**5}"
        shutil.copy("/bin/sleep", self.program)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self, start_s: float = 0.1, stop_s: float = 0.5, **env: str) -> None:
        argv = [sys.executable, kubelet.__file__, str(self.manifests), str(self.port)]
        argv += [str(start_s), str(stop_s), str(self.program)]
        self.process = subprocess.Popen(argv, env={**os.environ, **env})
        until(self.answers, "the stand-in answers")

    def answers(self) -> bool:
        try:
            seen.pods_there(self.url, [])
        except seen.UnseenError:
            return False
        return True

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        seen.kill(self.program.name)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/pods"

    def pids(self) -> list[int]:
        return seen.processes(self.program.name)

    def resource(self, *names: str, stop_timeout_ms: float = 20_000, **options: Any) -> Resource:
        given = {"directory": str(self.manifests), "sources": [str(self.sources / f"{name}.yaml") for name in names]}
        timings = {"start_timeout_ms": 20_000.0, "stop_timeout_ms": stop_timeout_ms}
        return factory.make(
            resource_spec("pods", "manifest", given | options, **timings), NodeContext("n1", "/n", None)
        )

    def files(self) -> list[str]:
        return sorted(path.name for path in self.manifests.iterdir())


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    here = Machine(tmp_path)
    yield here
    here.end()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scenario(), DEADLINE_S)

    asyncio.run(bounded())


@pytest.mark.parametrize("by", ["process", "kubelet", "command"])
def test_a_stop_has_succeeded_when_the_pod_is_gone(machine: Machine, by: str) -> None:
    look = ["/bin/sh", "-c", f"! pidof {machine.program}"]
    how = {"process": machine.program.name, "kubelet": machine.url, "command": look}[by]
    running = {"process": machine.program.name} if by == "process" else {"kubelet": machine.url}
    machine.begin(stop_s=1000)
    resource = machine.resource("a", "b", gone={by: how}, running=running)

    async def scenario() -> None:
        await resource.start({})
        assert machine.files() == ["a.yaml", "b.yaml"]
        if by != "process":
            assert len(machine.pids()) == 2, "its start returns when both run"
        assert (await resource.monitor()).health == "running"
        stopping = asyncio.create_task(resource.stop())
        await wait_until(lambda: not machine.files())
        assert (await resource.probe()).health == "failed", "no file, but the pod"
        await asyncio.sleep(0.5)
        assert not stopping.done()
        seen.kill(machine.program.name)
        await stopping
        assert machine.pids() == []
        assert (await resource.probe()).health == "stopped"

    run(scenario)


def test_a_pod_that_stays_is_a_failed_stop_and_a_kill_ends_its_processes(machine: Machine) -> None:
    machine.begin(stop_s=1000)
    resource = machine.resource("a", stop_timeout_ms=1000, gone={"process": machine.program.name})

    async def scenario() -> None:
        await resource.start({})
        await wait_until(machine.pids)
        with pytest.raises(ResourceError, match=rf"pods: {machine.program.name} runs: process {machine.pids()[0]}"):
            await resource.stop()
        await resource.kill()
        assert machine.pids() == []

    run(scenario)


def test_a_kubelet_that_does_not_answer_says_nothing(machine: Machine) -> None:
    resource = machine.resource("a", stop_timeout_ms=500, gone={"kubelet": machine.url})

    async def scenario() -> None:
        with pytest.raises(ResourceError, match="the kubelet does not answer"):
            await resource.stop()
        with pytest.raises(OperationError, match="the kubelet does not answer"):
            await resource.probe()

    run(scenario)


def test_a_pod_that_does_not_run_is_seen_by_the_monitor(machine: Machine) -> None:
    machine.begin(start_s=1000)
    resource = machine.resource("a", running={"kubelet": machine.url}, gone={"kubelet": machine.url})

    async def scenario() -> None:
        starting = asyncio.create_task(resource.start({}))
        await wait_until(lambda: "a.yaml" in machine.files())
        found = await resource.monitor()
        assert (found.health, found.certain) == ("failed", False)
        assert found.detail == "the kubelet does not run the pod a"
        starting.cancel()

    run(scenario)


@pytest.mark.parametrize("check", ["process", "command", "kubelet"])
def test_the_guard_alone(machine: Machine, check: str) -> None:
    """It removes the files, kills where it is told the process, and waits for the end where it is not."""
    machine.begin(stop_s=0.5)
    how = {
        "process": machine.program.name,
        "kubelet": machine.url,
        "command": ["/bin/sh", "-c", f"! pidof {machine.program}"],
    }
    resource = machine.resource("a", "b", gone={check: how[check]})

    async def scenario() -> None:
        await resource.start({})

    run(scenario)
    until(lambda: len(machine.pids()) == 2)
    steps = [dict(step) for step in resource.guard_steps()]
    assert [stop.check(step) for step in steps] == [""] * len(steps)
    problems = [stop.attempt(step) for step in steps]
    assert machine.files() == []
    if check == "process":
        assert problems == ["", "", ""], "killed at once"
    until(lambda: not any(stop.attempt(step) for step in steps))
    assert machine.pids() == []


def test_all_files_or_none(machine: Machine) -> None:
    (machine.manifests / "b.yaml").mkdir()  # nothing can be put there
    resource = machine.resource("a", "b")

    async def scenario() -> None:
        with pytest.raises(OperationError, match=r"cannot place .*/b\.yaml"):
            await resource.start({})
        assert machine.files() == ["b.yaml"]

    run(scenario)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("a: [", "is no YAML: line"),
        ("kind: Deployment\nmetadata: {name: b}\n", "is of kind Deployment: a static pod is of `kind: Pod`"),
        ("kind: Pod\n", "has no `metadata.name`"),
        ("kind: Pod\nmetadata: {name: Not_A_Name}\n", "has no `metadata.name` of lower-case letters"),
        (pod("b") + "---\n" + pod("c"), "has 2 documents, and the kubelet takes the first"),
        (pod("a"), "has the pod a once more"),
        ("\x00", "is no YAML"),
        ("[" * 5000, "has 5000 brackets in one another"),
    ],
)
def test_what_is_no_pod_is_not_put(machine: Machine, text: str, why: str) -> None:
    (machine.sources / "b.yaml").write_text(text)
    resource = machine.resource("a", "b")

    async def scenario() -> None:
        assert why in await resource.ready()
        with pytest.raises(OperationError) as error:
            await resource.start({})
        assert why in str(error.value) and "b.yaml" in str(error.value)
        assert machine.files() == []

    run(scenario)


def test_a_pod_that_another_file_of_the_directory_has_is_not_put(machine: Machine) -> None:
    (machine.manifests / "old.yaml").write_text(pod("a"))
    resource = machine.resource("a")

    async def scenario() -> None:
        why = f"{machine.manifests}/old.yaml has the pod a, too"
        assert why in await resource.ready()
        with pytest.raises(OperationError, match="to the kubelet the two are one pod; remove it"):
            await resource.start({})
        (machine.manifests / "old.yaml").rename(machine.manifests / ".old.yaml")
        await resource.start({})

    run(scenario)


def test_one_of_several_that_is_removed_is_put_back(machine: Machine) -> None:
    resource = machine.resource("a", "b")

    async def scenario() -> None:
        await resource.start({})
        reports: asyncio.Queue[Any] = asyncio.Queue()
        watch = asyncio.create_task(resource.watch(reports.put_nowait))
        await asyncio.sleep(0.3)
        (machine.manifests / "b.yaml").unlink()
        found = await reports.get()
        assert found.put_right == f"{machine.manifests}/b.yaml was removed by something else and has been put back"
        assert machine.files() == ["a.yaml", "b.yaml"]
        watch.cancel()
        await resource.stop()
        assert machine.files() == []

    run(scenario)
