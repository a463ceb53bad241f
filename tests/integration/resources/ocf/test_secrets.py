"""Secret parameters: read from their files for each action, and told to nobody but the agent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fencing.guard import stop
from hactl.resources.base import ResourceError
from hactl.resources.ocf.resource import Ocf
from tests.support.toy_ocf import ToyOcf

from .conftest import Make

SECRET = 'corr$ct h\'rse "battery"'
# Says it to everybody, in several ways, and fails.
BETRAYS = (
    'echo "ocf-exit-reason:cannot log in with $OCF_RESKEY_password" >&2; '
    'printf %s "$OCF_RESKEY_password" | base64; exit 1'
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_text(f"{SECRET}\n")
    return path


@pytest.fixture
def resource(toy: ToyOcf, make: Make, file: Path) -> Ocf:
    return make({**toy.options(), "secrets": {"password": str(file)}})


def heard(toy: ToyOcf) -> list[str]:
    """What the agent got as its password, action by action."""
    return (toy.dir / "heard").read_text().splitlines()


@pytest.fixture
def listening(toy: ToyOcf) -> ToyOcf:
    """The agent writes down what it got."""
    toy.edit("case $1 in\n", '[ -z "$dir" ] || printf "%s\\n" "$OCF_RESKEY_password" >>"$dir/heard"\ncase $1 in\n')
    return toy


def test_every_action_gets_it(listening: ToyOcf, resource: Ocf) -> None:
    async def scenario() -> None:
        await resource.start({})
        await resource.monitor()
        await resource.stop()
        await resource.kill()

    asyncio.run(scenario())
    assert set(heard(listening)) == {SECRET} and len(heard(listening)) == 7


def test_a_changed_secret_is_used_at_once(listening: ToyOcf, resource: Ocf, file: Path) -> None:
    asyncio.run(resource.probe())
    file.write_text("another one\n")
    asyncio.run(resource.probe())
    assert heard(listening) == [SECRET, "another one"]


def test_it_is_in_no_error_and_no_log(toy: ToyOcf, resource: Ocf) -> None:
    for action in ("start", "stop", "monitor"):
        toy.does(action, BETRAYS)
    with capture_logs() as logged:
        for action in (resource.start({}), resource.stop(), resource.kill()):
            with pytest.raises(ResourceError) as error:
                asyncio.run(action)
            assert "battery" not in str(error.value) and "***" in str(error.value)
        seen = asyncio.run(resource.monitor())
    assert seen.health == "failed" and "cannot log in with ***" in seen.detail
    assert logged and "battery" not in repr(logged)


def test_a_part_of_it_at_the_end_of_what_was_kept_is_not_told(toy: ToyOcf, resource: Ocf) -> None:
    room = 65536 - len(SECRET) // 2
    toy.does(
        "monitor",
        f"head -c {room} /dev/zero | tr '\\0' x >&2; echo >&2; printf %s \"$OCF_RESKEY_password\" >&2; exit 1",
    )
    assert "corr" not in asyncio.run(resource.monitor()).detail


def test_the_guard_reads_it_itself(listening: ToyOcf, resource: Ocf, file: Path) -> None:
    asyncio.run(resource.start({}))
    (step,) = resource.guard_steps()
    assert "battery" not in repr(step) and str(file) in repr(step)
    (listening.dir / "heard").unlink()
    assert stop.attempt(step) == "" and not listening.runs
    assert heard(listening) == [SECRET, SECRET]


def test_a_start_without_it_is_refused_and_the_node_is_unfit(toy: ToyOcf, resource: Ocf, file: Path) -> None:
    file.chmod(0o644)
    with pytest.raises(ResourceError, match=f"secret file {file}: mode 0644 lets others read .* `chmod 600 "):
        asyncio.run(resource.start({}))
    assert toy.asked() == []
    assert "`chmod 600 " in asyncio.run(resource.ready())


def test_what_runs_is_stopped_with_the_one_that_was_read_last(listening: ToyOcf, resource: Ocf, file: Path) -> None:
    asyncio.run(resource.start({}))
    file.unlink()
    assert asyncio.run(resource.monitor()).health == "running"
    asyncio.run(resource.stop())
    assert set(heard(listening)) == {SECRET}


def test_the_guard_stops_it_without_the_file(toy: ToyOcf, resource: Ocf, file: Path) -> None:
    asyncio.run(resource.start({}))
    file.unlink()
    assert stop.attempt(resource.guard_steps()[0]) == "" and not toy.runs
