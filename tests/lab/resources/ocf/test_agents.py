"""Agents of Debian's resource-agents and pacemaker-resource-agents that need nothing but the kernel: their whole life,
and the verdict of ocf-tester."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hactl.resources.base import NodeContext
from hactl.resources.ocf import attribute_files
from hactl.resources.ocf.attributes import promotion_score
from tests.support.namespaces import inside

from .real import OF_1_1, Real, an_address, await_life, complaints_of_tester, made

pytestmark = pytest.mark.root

STATES: dict[str, tuple[str, frozenset[str]]] = {
    "heartbeat:Dummy": ("run/ocf/tmp/Dummy-{}.state", frozenset()),
    "heartbeat:Stateful": ("run/ocf/tmp/Stateful-{}.state", frozenset()),
    "pacemaker:Dummy": ("{}.state", frozenset({OF_1_1})),
    "pacemaker:Stateful": ("{}.state", frozenset({OF_1_1})),
}


@pytest.fixture(params=STATES)
def stateful(request: pytest.FixtureRequest, place: Path) -> Real:
    """An agent whose resource is a file."""
    file, complaints = STATES[request.param]
    given = {"state": str(place / "own.state")} if request.param.startswith("pacemaker") else {}
    states = (place / file.format("group.real"), place / file.format("own"))
    return Real(request.param, lambda: any(state.exists() for state in states), given, complaints)


def test_a_file(stateful: Real, context: NodeContext) -> None:
    await_life(stateful, context)


def test_ocf_tester_on_a_file(stateful: Real, place: Path) -> None:
    assert complaints_of_tester(stateful, place) == stateful.complaints


@pytest.mark.parametrize("agent", ["heartbeat:Stateful", "pacemaker:Stateful"])
def test_a_promotion_score_is_heard(agent: str, place: Path, context: NodeContext) -> None:
    given = {"state": str(place / "own.state")}
    resource = made(Real(agent, lambda: True, given), context)

    def score() -> int | None:
        return promotion_score(attribute_files.read(f"{context.state_dir}/ocf/attributes"), "group.real")

    assert score() is None
    asyncio.run(resource.start({}))
    assert score() == 5
    asyncio.run(resource.stop())
    assert score() is None


@pytest.fixture
def address(namespace: str) -> Real:
    return an_address(namespace, "10.77.0.9", "24")


def test_an_address(address: Real, namespace: str, context: NodeContext) -> None:
    inside(namespace, lambda: await_life(address, context))


def test_ocf_tester_on_an_address(address: Real, namespace: str, place: Path) -> None:
    assert inside(namespace, lambda: complaints_of_tester(address, place)) == address.complaints


def sh(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def bound(place: Path, stack: contextlib.ExitStack) -> dict[str, str]:
    source = place / "source"
    source.mkdir()
    (source / "content").touch()
    return {"device": str(source), "fstype": "none", "options": "bind"}


def on_a_loop(place: Path, stack: contextlib.ExitStack) -> dict[str, str]:
    image = place / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    device = sh("losetup", "--find", "--show", str(image))
    stack.callback(sh, "losetup", "--detach", device)
    sh("mkfs.ext4", "-q", device)
    sh("debugfs", "-w", "-R", f"write {__file__} content", device)
    return {"device": device, "fstype": "ext4"}


Prepare = Callable[[Path, contextlib.ExitStack], dict[str, str]]


@pytest.fixture(params=[bound, on_a_loop], ids=["bind", "loop"])
def mount(request: pytest.FixtureRequest, place: Path) -> Iterator[Real]:
    """Filesystem."""
    with contextlib.ExitStack() as stack:
        target = place / "mounted"
        target.mkdir()
        given = {**request.param(place, stack), "directory": str(target)}
        yield Real("heartbeat:Filesystem", (target / "content").exists, given)


def test_a_mount(mount: Real, context: NodeContext) -> None:
    await_life(mount, context)


def test_ocf_tester_on_a_mount(mount: Real, place: Path) -> None:
    assert complaints_of_tester(mount, place) == mount.complaints


def test_a_mount_that_is_in_use_is_unmounted(mount: Real, context: NodeContext) -> None:
    """The agent ends those who use it."""
    resource = made(mount, context)
    asyncio.run(resource.start({}))
    with subprocess.Popen(["sleep", "600"], cwd=mount.parameters["directory"]) as user:
        try:
            asyncio.run(resource.stop())
            assert not mount.alive() and user.wait(10) != 0
        finally:
            user.kill()
