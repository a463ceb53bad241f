"""Whether an OCF resource could be started on a node: seen before a failover, and not by one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from hactl.resources.base import ResourceError
from hactl.resources.ocf import resource as ocf
from tests.support.toy_ocf import ToyOcf

from .conftest import Make

BREAKS: dict[str, tuple[Callable[[ToyOcf], object], str]] = {
    "no agent": (lambda toy: toy.path.unlink(), "there is no agent test:toy on this node; "),
    "no program": (lambda toy: toy.path.chmod(0o644), "test:toy: .* cannot be executed"),
    "others change it": (lambda toy: toy.path.chmod(0o666 | 0o111), "test:toy: others may change what"),
    "no metadata": (lambda toy: toy.install("#!/bin/sh\nexit 1\n"), "test:toy: meta-data ended with exit status 1"),
    "no XML": (lambda toy: toy.install("#!/bin/sh\necho hello\n"), "test:toy: meta-data: it wrote no XML"),
    "no stop": (lambda toy: toy.edit('action name="stop"', 'action name="halt"'), "test:toy has no action stop"),
    "renamed": (lambda toy: toy.edit('parameter name="dir"', 'parameter name="dire"'), "has no parameter `dir`"),
    "more needed": (lambda toy: toy.edit('"speed"', '"speed" required="1"'), "needs the parameter `speed`"),
}


@pytest.mark.parametrize(("break_it", "says"), BREAKS.values(), ids=BREAKS)
def test_a_node_whose_agent_does_not_fit_is_unfit_until_it_does(
    toy: ToyOcf, make: Make, break_it: Callable[[ToyOcf], object], says: str
) -> None:
    resource, script = make(), toy.path.read_text()
    assert asyncio.run(resource.ready()) == ""
    break_it(toy)
    assert re.search(says, asyncio.run(resource.ready()))
    toy.path.unlink(missing_ok=True)
    toy.install(script)
    assert asyncio.run(resource.ready()) == ""


def test_the_agent_is_asked_for_its_metadata_once(toy: ToyOcf, make: Make) -> None:
    toy.edit('if [ "$1" = meta-data ]; then\n', f'if [ "$1" = meta-data ]; then\n  echo >>{toy.dir}/questions\n')
    resource = make()
    for _ in range(3):
        assert asyncio.run(resource.ready()) == ""
    assert (toy.dir / "questions").read_text() == "\n"


@pytest.mark.parametrize(
    ("code", "unfit"), [(0, False), (1, False), (2, True), (4, True), (5, True), (6, True), (7, False)]
)
def test_a_look_that_says_that_it_cannot_run_here_makes_the_node_unfit(
    toy: ToyOcf, make: Make, code: int, unfit: bool
) -> None:
    toy.does("monitor", f'echo "ocf-exit-reason:no such program" >&2; exit {code}')
    resource = make()
    seen = asyncio.run(resource.probe())
    assert ("no such program" in asyncio.run(resource.ready())) is unfit
    assert (seen.health == "stopped") is (code in (5, 7)), "software that is not there does not run"
    toy.usual("monitor")
    asyncio.run(resource.probe())
    assert asyncio.run(resource.ready()) == ""


def test_after_a_start_that_cannot_succeed_the_agent_is_asked(
    toy: ToyOcf, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.does("start", 'echo "ocf-exit-reason:no port" >&2; exit 6')
    toy.does("validate-all", "exit 6")
    resource = make()

    async def scenario() -> None:
        with pytest.raises(ResourceError, match="no port"):
            await resource.start({})
        await resource.probe()
        assert "no port" in await resource.ready(), "although it is stopped in order"
        assert "validate-all" not in toy.asked(), "not at once"
        monkeypatch.setattr(ocf, "_ASK_AGAIN_S", 0.0)
        assert "no port" in await resource.ready()
        assert toy.asked().count("validate-all") == 1
        toy.usual("validate-all")
        assert await resource.ready() == ""

    asyncio.run(scenario())


def test_an_agent_that_cannot_be_asked_is_tried_again_later(
    toy: ToyOcf, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.edit('<action name="validate-all" timeout="5s"/>', "")
    toy.does("start", "exit 5")
    resource = make()

    async def scenario() -> None:
        with pytest.raises(ResourceError):
            await resource.start({})
        assert "not installed" in await resource.ready()
        monkeypatch.setattr(ocf, "_TRY_AGAIN_S", 0.0)
        assert await resource.ready() == "" and "validate-all" not in toy.asked()

    asyncio.run(scenario())


def test_a_start_that_may_succeed_next_time_leaves_the_node_fit(toy: ToyOcf, make: Make) -> None:
    toy.does("start", "exit 1")
    resource = make()
    with pytest.raises(ResourceError):
        asyncio.run(resource.start({}))
    assert asyncio.run(resource.ready()) == ""
