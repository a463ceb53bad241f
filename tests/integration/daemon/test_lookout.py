"""How a node looks at the groups that it may have to run, and at those that it must not run: with real files."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hactl.daemon.observe import resources
from hactl.daemon.observe.resources import Lookout
from hactl.decide.local_group import LocalGroup
from hactl.model.events import Event, Observed, Readiness, Warned
from hactl.model.resources import ResourceSpec
from hactl.resources.base import NodeContext, Observation, Resource
from hactl.resources.factory import make
from tests.support.scene import Scene
from tests.support.specs import resource_spec
from tests.support.stand_in import node_state
from tests.support.waiting import wait_until

DEADLINE_S = 20.0

CLUSTER = """\
cluster: demo
nodes:
  - {name: n1, address: 10.0.0.11}
  - {name: n2, address: 10.0.0.12}
groups:
  - name: scheduler
    fencing: required
    resources:
      - name: pod
        manifest: {directory: DIRECTORY, content: "{kind: Pod, metadata: {name: p}}"}
      - name: agent
        exec: {start: [/bin/true], stop: [PROGRAM], monitor: [/bin/sh, -c, "echo >> COUNT; exit 3"]}
  - name: elsewhere
    nodes: [n1]
    resources:
      - name: pod
        manifest: {directory: /nonexistent, content: "{kind: Pod, metadata: {name: p}}"}
"""


class Node:
    """n2, with a lookout; the group `scheduler` is n1's."""

    def __init__(self, directory: Path) -> None:
        self.file, self.program, self.count = directory / "pods/pod.yaml", directory / "program", directory / "count"
        text = CLUSTER.replace("DIRECTORY", str(self.file.parent)).replace("PROGRAM", str(self.program))
        self.scene = Scene(cluster=text.replace("COUNT", str(self.count)))
        self.scene.join("n1", "n2")
        self.scene.own("scheduler", "n1")
        self.state = node_state(self.scene.spec)
        self.state.view, self.state.phase = self.scene.view, "live"
        for group in self.scene.spec.groups:
            self.state.runs[group.name] = LocalGroup(
                group, health={resource.name: "stopped" for resource in group.resources}
            )
        self.posted: list[Event] = []
        self.observed: list[Event] = []
        self._context = NodeContext("n2", str(directory), None)
        self._made: dict[str, Resource] = {}

    def resource(self, group: str, spec: ResourceSpec) -> Resource:
        assert group == "scheduler", "this node never runs the other"
        return self._made.setdefault(spec.name, make(spec, self._context, group))

    def post(self, event: Event) -> None:
        self.posted.append(event)
        if isinstance(event, Observed):
            self.observed.append(event)

    @property
    def run(self) -> LocalGroup:
        return self.state.runs["scheduler"]

    def seen(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.posted if isinstance(event, kind)]

    def look(self, scenario: Callable[[], object]) -> None:
        """Run the lookout while the scenario runs."""
        self.posted.clear()

        async def main() -> None:
            work = asyncio.create_task(Lookout(lambda: self.state, self.resource, self.post).run())
            try:
                await scenario()  # type: ignore[misc]
                assert not work.done()
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)

        asyncio.run(main())


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(resources, "EVERY_S", 0.02)
    return Node(tmp_path)


def test_a_resource_that_could_not_start_here_is_reported_before_it_must(node: Node) -> None:
    async def scenario() -> None:
        await wait_until(lambda: len(node.posted) == 2)
        told = {readiness.source: (readiness.level, readiness.why) for readiness in node.seen(Readiness)}  # type: ignore[union-attr]
        assert told["resource/pod"] == ("unfit", f"pod: there is no directory {node.file.parent}")
        assert told["resource/agent"] == ("unfit", f"agent: stop: command not found: {node.program}")
        node.file.parent.mkdir()
        await wait_until(lambda: Readiness("scheduler", "resource/pod", "ready") in node.posted)
        node.program.write_text("")
        await wait_until(lambda: "not an executable file" in str(node.posted[-1]))
        node.program.chmod(0o755)
        await wait_until(lambda: Readiness("scheduler", "resource/agent", "ready") in node.posted)
        assert len(node.posted) == 5, "each once"
        node.file.parent.rmdir()
        await wait_until(lambda: len(node.posted) == 6)
        del node.state.runs["scheduler"]
        await wait_until(lambda: len(node.posted) == 7)
        assert node.posted[-1] == Readiness("scheduler", "resource/pod", "ready", "")

    node.look(scenario)


@pytest.mark.parametrize("content", ["{kind: Pod, metadata: {name: p}}", "kind: Another"])
def test_a_resource_of_another_nodes_group_that_is_here_is_seen(node: Node, content: str) -> None:
    async def scenario() -> None:
        node.file.parent.mkdir()
        await wait_until(node.count.exists)
        assert node.seen(Observed) == []
        node.file.write_text(content)
        await wait_until(lambda: node.seen(Observed))
        observed = node.seen(Observed)[0]
        assert isinstance(observed, Observed) and (observed.resource, observed.health) == ("pod", "running")

    node.look(scenario)


def test_resources_of_an_own_group_or_of_one_without_an_owner_are_not_looked_at(node: Node) -> None:
    node.file.parent.mkdir()
    node.file.write_text("{kind: Pod, metadata: {name: p}}")

    async def scenario() -> None:
        """Three whole looks."""
        node.program.unlink(missing_ok=True)
        await wait_until(lambda: len(node.seen(Readiness)) == 1)
        node.program.write_text("")
        node.program.chmod(0o755)
        await wait_until(lambda: len(node.seen(Readiness)) == 2)
        node.program.unlink()
        await wait_until(lambda: len(node.seen(Readiness)) == 3)

    me = node.scene.holder("n2")
    node.state.session.state, node.state.session.session_id, node.state.session.session_revision = (
        "live",
        me.session_id,
        me.session_revision,
    )
    node.scene.own("scheduler", "n2")
    node.state.view = node.scene.view
    node.look(scenario)
    node.scene.delete(node.state.keys.group("scheduler"))
    node.state.view = node.scene.view
    node.look(scenario)
    node.scene.own("scheduler", "n1")
    node.state.view = node.scene.view
    node.run.acting["pod"] = (1, "stop")
    node.look(scenario)
    assert node.observed == [] and not node.count.exists()


def test_a_monitor_that_is_a_command_is_run_seldom(node: Node) -> None:
    async def scenario() -> None:
        node.file.parent.mkdir()
        for _ in range(20):
            node.posted.clear()
            node.file.write_text("{kind: Pod, metadata: {name: p}}")
            await wait_until(lambda: node.seen(Observed))
        assert node.count.read_text() == "\n"

    node.look(scenario)


def test_a_look_that_fails_or_hangs_ends_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "LOOK_S", 0.01)
    node.file.parent.mkdir()
    pod, agent = (node.resource("scheduler", resource) for resource in node.run.spec.resources)

    async def hang() -> str:
        await asyncio.Event().wait()
        return ""

    async def crash() -> str:
        raise RuntimeError("a mistake")

    async def scenario() -> None:
        node.file.write_text("{kind: Pod, metadata: {name: p}}")
        await wait_until(lambda: node.seen(Observed))

    monkeypatch.setattr(agent, "ready", hang)
    node.look(scenario)
    monkeypatch.setattr(pod, "ready", crash)
    node.look(scenario)


@pytest.mark.parametrize("kind", ["vip", "manifest", "systemd", "exec"])
def test_a_resource_is_here_though_it_is_not_well(kind: str) -> None:
    """A unit that something else starts may take minutes to come up; an agent's failed monitor says nothing."""
    spec = resource_spec("thing", kind)
    assert resources._is_here(spec, Observation("running")) and not resources._is_here(spec, Observation("stopped"))
    assert resources._is_here(spec, Observation("failed", "systemd says activating (start)")) == (kind != "exec")


def test_a_process_that_runs_the_command_where_the_group_is_not_is_reported(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "COMMANDS_EVERY_S", 0.0)
    argv = ["/bin/sleep", f"600.{os.getpid()}"]
    group = replace(node.run.spec, resources=(resource_spec("daemon", "exec", {"command": argv}),))
    node.state.runs["scheduler"] = LocalGroup(group, health={"daemon": "stopped"})

    def last() -> Observed:
        observed = node.seen(Observed)[-1]
        assert isinstance(observed, Observed) and (observed.resource, observed.health) == ("daemon", "stopped")
        return observed

    ours = subprocess.Popen(argv, env={**os.environ, "HACTL_NODE": "n2"})
    twin = subprocess.Popen(argv)

    async def scenario() -> None:
        await wait_until(lambda: node.seen(Observed))
        text = f"process {twin.pid} runs its command here, and hactl did not start it"
        assert last().warned == Warned("twin", text)
        twin.kill()
        await wait_until(lambda: len(node.seen(Observed)) == 2)
        assert last().warned == Warned("twin", "")

    try:
        node.look(scenario)
    finally:
        for process in (twin, ours):
            process.kill()
            process.wait()
