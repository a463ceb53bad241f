"""What is about to be started is on disk, then with the guard; a slow disk holds up nothing else."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from election.clock import Instant
from hactl.daemon.guard_link import GuardLink
from hactl.daemon.parts.state_files import StateFiles
from hactl.daemon.registrar import Registrar
from hactl.model.cluster import GroupSpec
from hactl.model.effects import GuardRegister, GuardUnregister
from hactl.model.resources import ResourceSpec
from hactl.resources import factory
from hactl.resources.base import NodeContext, Resource
from tests.support.specs import resource_spec

DEADLINE_S = 10.0
SPEC = resource_spec("thing", "exec", {"command": ["sleep", "600"]})
GROUP = GroupSpec("db", (SPEC,))


class Stuck(StateFiles):
    """A disk that takes its time."""

    def __init__(self, state_dir: str, boot_id: str) -> None:
        super().__init__(state_dir, boot_id)
        self.may = threading.Event()
        self.problem = ""
        self.kept: list[str] = []

    def keep_started(self, group: GroupSpec) -> None:
        self.kept.append(group.name)
        assert self.may.wait(DEADLINE_S)
        if self.problem:
            raise OSError(self.problem)
        super().keep_started(group)


class Story:
    """A registrar between a disk and the guard's end of its connection."""

    def __init__(self, tmp_path: Path) -> None:
        ours, self.guard = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.guard.setblocking(False)
        self.link = GuardLink(ours, DEADLINE_S, None)
        self.disk, self.file = Stuck(str(tmp_path), "boot-1"), tmp_path / "started" / "db.json"
        self.refused: list[tuple[str, str]] = []
        self._context = NodeContext("n1", str(tmp_path / "resources"), None)
        self.registrar = Registrar(
            self.disk,
            self.link,
            self._resource,
            self._ask,
            lambda *refusal: self.refused.append(refusal),
            self._keep_session,
            lambda session_id: None,
        )

    def _resource(self, group: str, spec: ResourceSpec) -> Resource:
        return factory.make(spec, self._context, group)

    @staticmethod
    async def _keep_session(session_id: str) -> None:
        pass

    @staticmethod
    async def _ask(name: str, asked: Awaitable[Any]) -> None:
        await asked

    async def answer(self) -> dict[str, Any]:
        """Say yes to what comes next; what it was."""
        loop = asyncio.get_running_loop()
        request: dict[str, Any] = json.loads(await loop.sock_recv(self.guard, 65536))
        await loop.sock_sendall(self.guard, json.dumps({"id": request["id"], "ok": True, "problem": ""}).encode())
        return request

    async def close(self) -> None:
        self.disk.may.set()
        self.registrar.close()
        await self.link.close()
        self.guard.close()


async def _slow_disk(story: Story) -> None:
    register = asyncio.create_task(story.registrar.carry_out(GuardRegister(GROUP, SPEC)))
    unregister = asyncio.create_task(story.registrar.carry_out(GuardUnregister("db", "thing")))
    extend = asyncio.create_task(story.link.extend("sid", 750.0, 250.0, Instant(1e9, 1e9)))
    assert (await story.answer())["op"] == "extend"
    await extend
    assert not story.file.exists()
    story.disk.may.set()
    named = await story.answer()
    assert (named["op"], named["name"]) == ("register", "db/thing")
    assert story.file.exists()
    assert (await story.answer())["op"] == "unregister"
    await asyncio.gather(register, unregister)
    assert story.refused == []


async def _one_after_another(story: Story) -> None:
    """Of a group whose resources start together the definition is kept once; again when it is another, or forgotten."""
    story.disk.may.set()
    other = GroupSpec("db", (SPEC, SPEC))
    for group in (GROUP, GROUP, other, GROUP):
        asked = asyncio.create_task(story.registrar.carry_out(GuardRegister(group, SPEC)))
        await story.answer()
        await asked
    assert story.disk.kept == ["db", "db", "db"]
    await story.registrar.forget(set)
    assert not story.file.exists()
    asked = asyncio.create_task(story.registrar.carry_out(GuardRegister(GROUP, SPEC)))
    await story.answer()
    await asked
    assert story.file.exists()


async def _full_disk(story: Story) -> None:
    story.disk.problem = "no space left"
    story.disk.may.set()
    await story.registrar.carry_out(GuardRegister(GROUP, SPEC))
    assert story.refused == [("db/thing", "no space left")]


def _play(tmp_path: Path, scenario: Any) -> None:
    async def main() -> None:
        story = Story(tmp_path)
        try:
            await asyncio.wait_for(scenario(story), DEADLINE_S)
        finally:
            await story.close()

    asyncio.run(main())


def test_a_slow_disk_holds_up_names_in_their_order_and_no_deadline(tmp_path: Path) -> None:
    _play(tmp_path, _slow_disk)


def test_what_cannot_be_kept_is_not_named(tmp_path: Path) -> None:
    _play(tmp_path, _full_disk)


def test_a_definition_is_kept_once_for_resources_that_are_registered_one_after_another(tmp_path: Path) -> None:
    _play(tmp_path, _one_after_another)
