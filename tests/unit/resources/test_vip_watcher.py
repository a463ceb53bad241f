"""A change wakes those VIPs that it concerns, and no others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import pytest

from hactl.linux.network import Changes, Network
from hactl.resources.moving import MovingAddresses
from hactl.resources.vip.watcher import Watcher


class Keeper:
    """Of a VIP, on an interface of this number."""

    def __init__(self, host: str, interface: int, moving: MovingAddresses) -> None:
        self.host, self.interface, self.woken = host, interface, 0
        self._moving = moving
        moving.add(self, host)

    def is_own(self, host: str) -> bool:
        return host not in self._moving

    def wake(self) -> None:
        self.woken += 1


class Scene:
    def __init__(self, keepers: dict[str, Keeper], tell: list[Callable[[Changes], None]], watcher: Watcher) -> None:
        self.keepers, self._tell, self.watcher = keepers, tell, watcher

    def woken(self, changes: Changes) -> set[str]:
        for keeper in self.keepers.values():
            keeper.woken = 0
        for tell in self._tell:
            tell(changes)
        return {name for name, keeper in self.keepers.items() if keeper.woken}


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    told: list[Callable[[Changes], None]] = []

    @contextlib.contextmanager
    def following(self: Network, tell: Callable[[Changes], None]) -> Iterator[None]:
        told.append(tell)
        yield
        told.remove(tell)

    async def shared() -> Network:
        return Network.shared()

    monkeypatch.setattr(Network, "following", following)
    with asyncio.Runner() as runner, contextlib.ExitStack() as waking:
        network = runner.run(shared())
        monkeypatch.setattr(Network, "shared", lambda: network)
        moving, watcher = MovingAddresses(), Watcher()
        keepers = {
            "one": Keeper("10.0.0.31", 1, moving),
            "two": Keeper("10.0.0.32", 1, moving),
            "six": Keeper("fd77::30", 2, moving),
            "none": Keeper("10.9.0.30", 0, moving),
        }
        for keeper in keepers.values():
            waking.enter_context(watcher.waking(keeper))
        yield Scene(keepers, told, watcher)
    assert told == [], "nobody is left, and nothing is followed"


def of_address(index: int, host: str) -> Changes:
    return Changes(addresses=frozenset({(index, host)}))


def test_it_follows_once_for_all(scene: Scene) -> None:
    assert len(scene._tell) == 1


def test_an_address_that_moves_concerns_its_vip_alone_wherever_it_is(scene: Scene) -> None:
    assert scene.woken(of_address(1, "10.0.0.31")) == {"one"}
    assert scene.woken(of_address(9, "10.0.0.31")) == {"one"}


def test_an_address_of_the_nodes_own_concerns_all_vips_of_its_interface(scene: Scene) -> None:
    """And those that have no interface yet: it may be in their network."""
    assert scene.woken(of_address(1, "10.0.0.1")) == {"one", "two", "none"}
    assert scene.woken(of_address(2, "fd77::1")) == {"six", "none"}


def test_a_link_concerns_those_on_it_and_those_that_have_none(scene: Scene) -> None:
    assert scene.woken(Changes(links=frozenset({2}))) == {"six", "none"}
    assert scene.woken(Changes(links=frozenset({5}))) == {"none"}


def test_where_it_is_not_known_what_has_changed_all_look(scene: Scene) -> None:
    assert scene.woken(Changes(everything=True)) == set(scene.keepers)


def test_a_vip_is_woken_by_its_interface_of_now(scene: Scene) -> None:
    scene.keepers["none"].interface = 1
    scene.watcher.moved(scene.keepers["none"], 0)
    assert scene.woken(Changes(links=frozenset({1}))) == {"one", "two", "none"}
    assert scene.woken(Changes(links=frozenset({2}))) == {"six"}


def test_an_address_moves_as_long_as_there_is_a_vip_of_it() -> None:
    moving = MovingAddresses()
    first, second = Keeper("10.0.0.30", 1, moving), Keeper("10.0.0.30", 1, moving)
    del first
    assert "10.0.0.30" in moving and list(moving) == ["10.0.0.30"]
    del second
    assert "10.0.0.30" not in moving and len(moving) == 0
