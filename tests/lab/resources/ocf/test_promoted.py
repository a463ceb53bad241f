"""The promoted role of `Stateful`, of both providers: by the agent as it is, and by nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fencing.guard import stop
from hactl.linux.cgroup import Cgroup
from hactl.resources import factory
from hactl.resources.base import NodeContext, Resource, ResourceError
from tests.support.specs import resource_spec
from tests.support.waiting import until

from .real import TIMEOUT_MS

pytestmark = pytest.mark.root

# What the agent writes into its file in each role.
WORDS = {
    "heartbeat:Stateful": {"promoted": "master", "unpromoted": "slave"},
    "pacemaker:Stateful": {"promoted": "Promoted", "unpromoted": "Unpromoted"},
}


@dataclass
class Stateful:
    """A file whose content is the role."""

    instance: Resource
    role: Resource
    file: Path
    words: dict[str, str]

    @property
    def state(self) -> str:
        """As the file has it, whatever anybody says."""
        if not self.file.exists():
            return "stopped"
        return next(role for role, word in self.words.items() if self.file.read_text().strip() == word)

    def seen(self) -> tuple[str, str, int | None]:
        """The health of the instance and of its role, and the score."""
        role = asyncio.run(self.role.probe())
        return asyncio.run(self.instance.probe()).health, role.health, role.score


def pair(agent: str, place: Path, context: NodeContext) -> Stateful:
    """In a new daemon."""
    parameters = {"state": str(place / "state")}
    options: dict[str, Any] = {"agent": agent, "parameters": parameters, "clone_max": 3, "promoted_max": 1}
    timings = {f"{action}_timeout_ms": TIMEOUT_MS for action in ("start", "stop", "monitor")}
    instance = {"name": "it", "kind": "ocf", "options": options, **timings}
    role = resource_spec("role", "promote", {"of": "db/it", "instance": instance}, **timings)
    return Stateful(
        factory.make(resource_spec("it", "ocf", options, **timings), context, "db"),
        factory.make(role, context, "primary"),
        place / "state",
        WORDS[agent],
    )


@pytest.fixture(params=WORDS)
def stateful(request: pytest.FixtureRequest, place: Path, context: NodeContext) -> Iterator[Stateful]:
    made = pair(request.param, place, context)
    yield made
    with contextlib.suppress(Exception):
        asyncio.run(made.role.kill())


def test_its_life(stateful: Stateful) -> None:
    assert asyncio.run(stateful.role.ready()) == ""
    assert stateful.seen() == ("stopped", "stopped", None)
    with pytest.raises(ResourceError, match="db/it does not run here"):
        asyncio.run(stateful.role.start({}))
    asyncio.run(stateful.instance.start({}))
    assert (stateful.state, *stateful.seen()) == ("unpromoted", "running", "stopped", 5)
    for _ in range(2):
        asyncio.run(stateful.role.start({"HACTL_EPOCH": "7"}))
        assert (stateful.state, *stateful.seen()) == ("promoted", "running", "running", 10)
    assert asyncio.run(stateful.role.monitor()).health == "running"
    assert asyncio.run(stateful.instance.monitor()).health == "running"
    for _ in range(2):
        asyncio.run(stateful.role.stop())
        assert (stateful.state, *stateful.seen()) == ("unpromoted", "running", "stopped", 5)
    asyncio.run(stateful.instance.stop())
    assert (stateful.state, *stateful.seen()) == ("stopped", "stopped", "stopped", None)


@pytest.mark.parametrize("way", ["stopped", "killed", "killed as its role", "killed by the guard"])
def test_what_is_promoted_ends(stateful: Stateful, way: str) -> None:
    asyncio.run(stateful.instance.start({}))
    asyncio.run(stateful.role.start({}))
    if way == "killed by the guard":
        (step,) = stateful.role.guard_steps()
        until(lambda: stop.attempt(step) == "", "the guard has stopped it")
    else:
        end = {"stopped": stateful.instance.stop, "killed": stateful.instance.kill}.get(way, stateful.role.kill)
        asyncio.run(end())
    assert (stateful.state, *stateful.seen()) == ("stopped", "stopped", "stopped", None)
    asyncio.run(stateful.instance.start({}))
    assert stateful.state == "unpromoted", "started anew it is not promoted"


def test_the_next_daemon_finds_it_promoted(place: Path, context: NodeContext) -> None:
    before = pair("pacemaker:Stateful", place, context)
    asyncio.run(before.instance.start({}))
    asyncio.run(before.role.start({}))
    asyncio.run(Cgroup(str(context.daemon_cgroup)).kill_all(5))
    after = pair("pacemaker:Stateful", place, context)
    assert after.seen() == ("running", "running", 10)
    asyncio.run(after.role.stop())
    assert after.state == "unpromoted"


def test_a_promoted_one_that_fails_is_not_well_in_both(place: Path, context: NodeContext) -> None:
    """The agent ends with what is in `state.rc`, when there is one."""
    made = pair("pacemaker:Stateful", place, context)
    asyncio.run(made.instance.start({}))
    asyncio.run(made.role.start({}))
    (place / "state.rc").write_text("9\n")
    assert made.seen() == ("failed", "failed", None)
    assert "it has failed, promoted" in asyncio.run(made.role.monitor()).detail
