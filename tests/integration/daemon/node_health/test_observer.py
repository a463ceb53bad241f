"""The checks are made, posted when they change, and follow the configuration."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hactl.daemon.observe.node_health import kinds, observer
from hactl.daemon.observe.node_health.observer import NodeHealth
from hactl.decide.node_health import learn
from hactl.decide.state import NodeState, Out
from hactl.model.events import NodeChecked
from hactl.model.health import CheckSpec, Pressure
from hactl.supervise import Tasks
from tests.support.scene import at, spec
from tests.support.stand_in import node_state
from tests.support.waiting import wait_until


def command(name: str, file: Path, **more: Any) -> CheckSpec:
    """Passes while the file is there; says what is in it."""
    return CheckSpec(name, command=("/bin/cat", str(file)), **{"interval_ms": 50.0, "rise": 2, "fall": 3, **more})


class Node:
    """A node with these checks, whose decide side learns what is posted."""

    def __init__(self, *checks: CheckSpec) -> None:
        self.state: NodeState = node_state(replace(spec(), health=checks))
        self.posted: list[NodeChecked] = []
        self.troubles: list[tuple[str, str]] = []
        self.tasks = Tasks()
        self.health = NodeHealth(lambda: self.state, None, self.tasks, self._post, self._trouble)

    def _post(self, event: NodeChecked) -> None:
        self.posted.append(event)
        learn(self.state, event, Out(self.state, at(0)))

    def _trouble(self, source: str, problem: str, todo: str) -> None:
        self.troubles.append((source, problem))

    def configure(self, *checks: CheckSpec) -> None:
        self.state.cluster = replace(spec(), health=checks)
        self.health.look(self.state)

    def ok(self, name: str) -> bool | None:
        return self.health.checks.get(name, {}).get("ok")

    async def __aenter__(self) -> Node:
        self.tasks.keep("health checks", self.health.run)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.tasks.close()


def test_it_is_posted_when_it_falls_and_when_it_rises(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("well")

    async def main() -> None:
        async with Node(command("c", file)) as node:
            await wait_until(lambda: node.ok("c"))
            file.unlink()
            await wait_until(lambda: node.ok("c") is False)
            file.write_text("well")
            await wait_until(lambda: node.ok("c"))
            assert [event.checks["c"]["ok"] for event in node.posted] == [True, False, True]
            assert node.state.checks is not None and node.state.checks["c"]["text"] == "exit status 0: well"
            assert node.state.checks["c"]["value"] == 0

    asyncio.run(main())


def test_a_value_that_changes_is_seen_here_at_once_and_posted_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"

    async def main() -> None:
        async with Node(command("c", file)) as node:
            for number in range(3):
                file.write_text(f"value {number}")
                text = f"exit status 0: value {number}"
                await wait_until(lambda text=text: node.health.checks.get("c", {}).get("text") == text)  # type: ignore[misc]
            assert len(node.posted) == 1
            monkeypatch.setattr(observer, "SAME_AGAIN_S", 0.0)
            await wait_until(lambda: len(node.posted) == 2)
            assert node.posted[1].checks["c"]["since"] == node.posted[0].checks["c"]["since"]

    file.write_text("value 0")
    asyncio.run(main())


def test_it_follows_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")

    async def main() -> None:
        first, second = command("a", file), command("b", tmp_path / "none")
        async with Node() as node:
            node.configure(first, second)
            await wait_until(lambda: node.ok("a") and node.ok("b") is False)
            node.configure(first)
            await wait_until(lambda: node.state.checks is not None and "b" not in node.state.checks)
            assert node.ok("b") is None
            count = len(node.posted)
            node.configure(replace_path(first, tmp_path / "none"))  # another check of that name
            await wait_until(lambda: node.ok("a") is False)
            assert len(node.posted) == count + 1

    asyncio.run(main())


def replace_path(check: CheckSpec, path: Path) -> CheckSpec:
    import msgspec

    return msgspec.structs.replace(check, command=("/bin/cat", str(path)))


def test_the_next_daemon_begins_where_the_last_one_was(tmp_path: Path) -> None:
    """A check that failed is not well again by the first result of a new daemon, nor the other way."""

    async def main() -> None:
        checks = (
            command("a", tmp_path / "there", interval_ms=3_600_000.0),
            command("b", tmp_path / "none", interval_ms=3_600_000.0),
        )
        node = Node(*checks)
        node.state.checks = {"a": {"ok": False, "text": "before", "since": "then"}, "b": {"ok": True, "text": "before"}}
        async with node:
            await wait_until(lambda: len(node.health.checks) == 2)
            assert (node.ok("a"), node.ok("b")) == (False, True)
            assert all(set(event.checks) == {"a", "b"} for event in node.posted)

    (tmp_path / "there").write_text("x")
    asyncio.run(main())


def test_a_check_that_this_machine_cannot_make_is_a_trouble_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "PRESSURE", tmp_path)
    check = CheckSpec("p", pressure=Pressure(memory="50%"), interval_ms=50.0)

    async def main() -> None:
        async with Node(check) as node:
            await wait_until(lambda: node.troubles)
            assert not node.posted and node.troubles[0][0] == "health check p"
            assert node.troubles[0][1].startswith("its health check p cannot be made: ")
            (tmp_path / "memory").write_text("full avg10=0.00 avg60=12.50 avg300=0.00 total=1\n")
            await wait_until(lambda: node.ok("p"))
            assert node.troubles[1:] == [("health check p", "")]

    asyncio.run(main())
