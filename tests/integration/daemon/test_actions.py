"""Actions on resources: of a promoted role and its instance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hactl.daemon.actions import Actions
from hactl.model import events
from hactl.model.effects import Act, Action
from hactl.model.resources import ResourceSpec
from hactl.resources.base import NodeContext
from tests.support.specs import resource_spec
from tests.support.waiting import wait_until

COMMAND = {"command": ["sleep", "600"]}
INSTANCE = resource_spec("it", "exec", COMMAND)


class Daemon:
    """What it posts."""

    def __init__(self, place: Path) -> None:
        settled = asyncio.Event()
        settled.set()
        self.context = NodeContext("n1", str(place / "state"), None)
        self.posted: list[events.Event] = []
        self.actions = Actions(self.context, "demo", self.posted.append, settled, lambda spec: None)  # type: ignore[arg-type, return-value]
        self._number = 0

    def begin(self, group: str, spec: ResourceSpec, action: Action) -> int:
        self._number += 1
        self.actions.act(Act(self._number, group, spec, action, 7, 20_000.0))
        return self._number

    def ended(self, number: int) -> events.Acted | None:
        return next((one for one in self.posted if isinstance(one, events.Acted) and one.id == number), None)

    async def do(self, group: str, spec: ResourceSpec, action: Action) -> events.Acted:
        number = self.begin(group, spec, action)
        acted = await wait_until(lambda: self.ended(number))
        assert isinstance(acted, events.Acted)
        return acted


@pytest.fixture
def role(tmp_path: Path) -> ResourceSpec:
    """Promoted where there is a file; its score is 42."""
    file = str(tmp_path / "promoted")
    commands = {
        "promote": ["touch", file],
        "demote": ["rm", "-f", file],
        "role": ["sh", "-c", f"[ -e {file} ] || exit 1"],
        "score": ["echo", "42"],
    }
    instance = {"name": "it", "kind": "exec", "options": COMMAND}
    spec: ResourceSpec = resource_spec("role", "promote", {"of": "db/it", "instance": instance, **commands})
    return spec


def run(place: Path, scenario: Callable[[Daemon], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        daemon = Daemon(place)
        try:
            await scenario(daemon)
        finally:
            await daemon.do("db", INSTANCE, "kill")
            await daemon.actions.close()

    asyncio.run(whole())


def test_a_look_tells_the_score(tmp_path: Path, role: ResourceSpec) -> None:
    async def scenario(daemon: Daemon) -> None:
        before = await daemon.do("primary", role, "probe")
        assert (before.ok, before.health, before.score) == (True, "stopped", None)
        started = await daemon.do("db", INSTANCE, "start")
        assert (started.ok, started.health, started.score) == (True, "running", None)
        seen = await daemon.do("primary", role, "probe")
        assert (seen.ok, seen.health, seen.score) == (True, "stopped", 42)
        promoted = await daemon.do("primary", role, "start")
        assert (promoted.ok, promoted.health, promoted.score) == (True, "running", None)
        seen = await daemon.do("primary", role, "probe")
        assert (seen.ok, seen.health, seen.score) == (True, "running", 42)

    run(tmp_path, scenario)


def test_the_end_of_the_instance_is_the_end_of_the_role_at_once(tmp_path: Path, role: ResourceSpec) -> None:
    async def scenario(daemon: Daemon) -> None:
        await daemon.do("db", INSTANCE, "start")
        await daemon.do("primary", role, "start")
        await daemon.do("db", INSTANCE, "kill")

        def observed() -> events.Observed | None:
            seen = (one for one in daemon.posted if isinstance(one, events.Observed))
            return next((one for one in seen if one.group == "primary"), None)

        seen = await wait_until(observed)
        assert (seen.resource, seen.health) == ("role", "stopped") and "db/it does not run" in seen.detail

    run(tmp_path, scenario)


def test_an_instance_is_started_when_its_role_has_killed_it(tmp_path: Path, role: ResourceSpec) -> None:
    """Not before: the kill would end what was started meanwhile, too."""

    async def scenario(daemon: Daemon) -> None:
        with daemon.context.turns.of("db", "it").kill():
            starting = daemon.begin("db", INSTANCE, "start")
            for other in (resource_spec(name, "exec", COMMAND) for name in ("others", "another", "one more")):
                assert (await daemon.do("db", other, "start")).ok and (await daemon.do("db", other, "kill")).ok
            assert daemon.ended(starting) is None
        assert (await wait_until(lambda: daemon.ended(starting))).ok

    run(tmp_path, scenario)


def test_a_role_whose_score_is_asked_otherwise_is_asked_so_at_once(tmp_path: Path, role: ResourceSpec) -> None:
    async def scenario(daemon: Daemon) -> None:
        await daemon.do("db", INSTANCE, "start")
        await daemon.do("primary", role, "probe")
        other: Any = msgspec.structs.replace(role, options=msgspec.structs.replace(role.options, score=("echo", "43")))
        assert (await daemon.do("primary", other, "probe")).score == 43

    run(tmp_path, scenario)
