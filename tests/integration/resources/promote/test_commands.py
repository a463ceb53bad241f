"""A promoted role by commands: here a file, of a process that is its instance."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fencing.guard import stop
from hactl.resources.base import NodeContext, Observation, ResourceError
from tests.support.waiting import until, wait_until

from .conftest import Pair, pair

SCRIPT = """\
#!/bin/sh
# A file ACTION beside it takes the place of what it does.
cd "${0%/*}" || exit 2
echo "$1 $HACTL_GROUP/$HACTL_RESOURCE $HACTL_NODE $HACTL_EPOCH" >>log
[ ! -e "does-$1" ] || { . "./does-$1"; exit; }
case $1 in
  promote) touch promoted ;;
  demote) rm -f promoted ;;
  role) [ -e promoted ] || exit 1 ;;
  score) cat score ;;
esac
"""


class Program:
    """The commands, and what they do."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.file = place / "program"
        self.file.write_text(SCRIPT)
        self.file.chmod(0o755)
        (place / "score").write_text("7\n")

    @property
    def commands(self) -> dict[str, Any]:
        return {name: [str(self.file), name] for name in ("promote", "demote", "role", "score")}

    @property
    def promoted(self) -> bool:
        return (self.place / "promoted").exists()

    def does(self, action: str, script: str) -> None:
        (self.place / f"does-{action}").write_text(script)

    def asked(self) -> list[str]:
        return [line.split()[0] for line in self.log()]

    def log(self) -> list[str]:
        log = self.place / "log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture
def made(context: NodeContext, program: Program) -> Pair:
    return pair(context, "exec", {"command": ["sleep", "600"]}, program.commands)


def test_it_is_promoted_looked_at_and_demoted(made: Pair, program: Program) -> None:
    async def scenario() -> None:
        await made.instance.start({})
        assert await made.role.probe() == Observation("stopped", "it is not promoted", score=7)
        await made.role.start({"HACTL_EPOCH": "9"})
        assert program.promoted and program.log()[-2] == "promote primary/role n1 9"
        assert await made.role.probe() == Observation("running", score=7)
        assert await made.role.monitor() == Observation("running")
        await made.role.start({})
        await made.role.stop()
        assert not program.promoted and (await made.role.monitor()).health == "stopped"
        await made.role.stop()
        assert (await made.instance.probe()).health == "running"

    asyncio.run(scenario())


def test_an_instance_that_does_not_run_is_not_promoted_and_not_asked(made: Pair, program: Program) -> None:
    async def scenario() -> None:
        seen = await made.role.probe()
        assert (seen.health, seen.score) == ("stopped", None) and seen.detail.startswith("its instance does not run")
        with pytest.raises(ResourceError, match="role: db/it does not run here: its instance does not run"):
            await made.role.start({})
        await made.role.stop()
        await made.role.kill()
        assert program.asked() == []

    asyncio.run(scenario())


def test_a_kill_ends_the_instance(made: Pair, program: Program) -> None:
    async def scenario() -> None:
        await made.instance.start({})
        await made.role.start({})
        await made.role.kill()
        assert (await made.instance.probe()).health == "stopped"
        assert (await made.role.probe()).health == "stopped"
        await made.instance.start({})
        assert (await made.instance.probe()).health == "running"

    asyncio.run(scenario())


def test_the_guard_ends_the_instance(made: Pair) -> None:
    asyncio.run(made.instance.start({}))
    asyncio.run(made.role.start({}))
    (step,) = made.role.guard_steps()
    assert stop.check(step) == ""
    until(lambda: stop.attempt(step) == "", "the guard has stopped it")
    assert asyncio.run(made.role.probe()).health == "stopped"
    assert asyncio.run(made.instance.probe()).health == "stopped"


def test_the_end_of_the_instance_is_reported_at_once(made: Pair) -> None:
    async def scenario() -> list[Observation]:
        await made.instance.start({})
        await made.role.start({})
        seen: list[Observation] = []
        watching = [asyncio.create_task(made.role.watch(seen.append))]
        watching.append(asyncio.create_task(made.instance.watch(lambda _: None)))
        await asyncio.sleep(0)
        await made.instance.kill()
        await wait_until(lambda: seen)
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        return seen

    (seen,) = asyncio.run(scenario())
    assert seen.health == "stopped" and seen.detail.startswith("db/it does not run")


@pytest.mark.parametrize(
    ("action", "script", "says"),
    [
        ("promote", "echo no >&2; exit 4", "role: promote ended with exit status 4: no"),
        ("promote", "exit 0", "role: promote ended with exit status 0, but it is not promoted"),
        ("role", "[ -e promoted ] && exit 3; exit 1", "role: promote ended with exit status 0, but role ended with"),
    ],
)
def test_a_promotion_that_fails_says_why(made: Pair, program: Program, action: str, script: str, says: str) -> None:
    program.does(action, script)
    asyncio.run(made.instance.start({}))
    with pytest.raises(ResourceError, match=says):
        asyncio.run(made.role.start({}))


@pytest.mark.parametrize(
    ("action", "script", "says"),
    [
        ("demote", "echo no >&2; exit 4", "role: demote ended with exit status 4: no"),
        ("demote", "exit 0", "role: demote ended with exit status 0, but it is still promoted"),
        ("role", "exit 2", "role: demote ended with exit status 0, but role ended with exit status 2"),
        # A script that crashes: nobody has demoted it.
        ("role", "exit 1", "role: demote ended with exit status 4"),
    ],
)
def test_a_demotion_that_fails_says_why(made: Pair, program: Program, action: str, script: str, says: str) -> None:
    asyncio.run(made.instance.start({}))
    asyncio.run(made.role.start({}))
    program.does(action, script)
    if "status 4" in says:
        program.does("demote", "echo no >&2; exit 4")
    with pytest.raises(ResourceError, match=says):
        asyncio.run(made.role.stop())


@pytest.mark.parametrize("script", ["exit 2", "exit 7", "kill -9 $$", "sleep 600"])
def test_a_role_that_is_not_known_has_failed(context: NodeContext, program: Program, script: str, made: Pair) -> None:
    asyncio.run(made.instance.start({}))
    program.does("role", script)
    role = pair(context, "exec", {"command": ["sleep", "600"]}, program.commands, monitor_timeout_ms=300.0).role
    for look in (role.probe, role.monitor):
        seen = asyncio.run(look())
        assert (seen.health, seen.score, seen.certain) == ("failed", None, False)
        assert seen.detail.startswith("role ")


SCORES = {
    "number": ("echo 0", 0, "it is not promoted"),
    "large": ("echo 99999999999999999999", 2**53 - 1, "it is not promoted"),
    "negative": ("echo -1", None, "score is -1"),
    "refused": ("echo 'it copies' >&2; exit 1", None, "score ended with exit status 1: it copies"),
    "no number": ("echo many", None, "score printed `many`, which is no whole number"),
    "nothing": ("exit 0", None, "score printed ``, which is no whole number"),
    "crash": ("kill -9 $$", None, "score was killed by signal SIGKILL"),
}


@pytest.mark.parametrize("case", SCORES)
def test_scores(made: Pair, program: Program, case: str) -> None:
    script, score, detail = SCORES[case]
    asyncio.run(made.instance.start({}))
    program.does("score", script)
    assert asyncio.run(made.role.probe()) == Observation("stopped", detail, score=score)


def test_a_score_that_hangs_is_none_and_the_role_is_known(context: NodeContext, program: Program, made: Pair) -> None:
    asyncio.run(made.instance.start({}))
    program.does("score", "sleep 600")
    role = pair(context, "exec", {"command": ["sleep", "600"]}, program.commands, monitor_timeout_ms=1000.0).role
    seen = asyncio.run(asyncio.wait_for(role.probe(), 1.0))
    assert (seen.health, seen.score) == ("stopped", None) and "score did not end in time" in seen.detail


def test_without_a_score_all_that_run_are_as_good(context: NodeContext, program: Program) -> None:
    commands = {name: argv for name, argv in program.commands.items() if name != "score"}
    made = pair(context, "exec", {"command": ["sleep", "600"]}, commands)
    assert asyncio.run(made.role.probe()).score is None
    asyncio.run(made.instance.start({}))
    assert asyncio.run(made.role.probe()).score == 0


def test_what_a_command_leaves_is_killed(made: Pair, program: Program, context: NodeContext) -> None:
    asyncio.run(made.instance.start({}))
    program.does("promote", f"setsid sleep 601 & echo $! >{program.place}/pid; touch promoted")
    asyncio.run(made.role.start({}))
    pid = (program.place / "pid").read_text().strip()
    until(lambda: not Path("/proc", pid).exists(), "it is gone")


def test_ready_says_which_command_is_missing(made: Pair, context: NodeContext, program: Program) -> None:
    assert asyncio.run(made.role.ready()) == ""
    commands = {**program.commands, "demote": ["/nonexistent/demote"]}
    missing = pair(context, "exec", {"command": ["sleep", "600"]}, commands).role
    assert asyncio.run(missing.ready()) == "demote: command not found: /nonexistent/demote"


def test_one_that_is_no_instance_is_refused(context: NodeContext) -> None:
    from hactl.resources import factory
    from tests.support.specs import resource_spec

    spec = resource_spec("role", "promote", {"of": "db/it", "promote": ["a"], "demote": ["b"], "role": ["c"]})
    with pytest.raises(ResourceError, match="role: db/it is no resource that can be promoted"):
        factory.make(spec, context, "primary")
