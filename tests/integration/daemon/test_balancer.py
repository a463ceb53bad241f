"""When the file is rendered anew and applied: the changes that lead to it, and those that do not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from election.records import Drain, Ownership
from hactl.daemon.observe import serving
from hactl.daemon.parts import balancer
from hactl.daemon.parts.balancer import Balancer
from hactl.decide.state import NodeState
from hactl.haproxy.control.files import ApplyResult
from hactl.haproxy.settings import HaproxySettings
from hactl.model.events import HaproxySeen
from hactl.resources.base import NodeContext
from hactl.supervise import Tasks
from tests.support.scene import CLUSTER, KEYS, Scene
from tests.support.stand_in import node_state

DEADLINE_S = 10.0

SERVICE = """\
  - name: db
    binds: ["10.0.0.30:3306"]
    port: 3306
    writer: elected
    group: database
"""


@pytest.fixture
def scene() -> Scene:
    scene = Scene(cluster=CLUSTER + SERVICE)
    scene.join("n1", "n2", "n3")
    scene.own("database", "n1")
    return scene


class Applied:
    """In HAProxy's place: the files that it was given."""

    def __init__(self) -> None:
        self.texts: asyncio.Queue[str] = asyncio.Queue()
        self.refuses = ""
        self.raises: Exception | None = None
        self.kept: asyncio.Queue[str] = asyncio.Queue()
        self.begun: asyncio.Queue[None] = asyncio.Queue()

    @property
    def manager(self) -> Applied:
        return self

    def problem(self) -> str:
        return self.refuses

    async def apply(self, text: str, **_: Any) -> ApplyResult:
        self.texts.put_nowait(text)
        if self.raises is not None:
            raise self.raises
        return ApplyResult(True, "reload", 0.0, self.refuses)

    async def keep(self, text: str, **_: Any) -> None:
        self.kept.put_nowait(text)

    async def begin(self) -> str:
        """Nothing runs, or the former file cannot run."""
        self.begun.put_nowait(None)
        return self.refuses

    async def close(self) -> None:
        """Nothing runs."""

    async def next(self) -> str:
        async with asyncio.timeout(DEADLINE_S):
            return await self.texts.get()

    async def next_kept(self) -> str:
        async with asyncio.timeout(DEADLINE_S):
            return await self.kept.get()


def servers(text: str, service: str) -> dict[str, str]:
    """The words after the address on each server's line."""
    section = text.split(f"\nlisten {service} ", 1)[1].split("\n\n", 1)[0]
    lines = [line.split() for line in section.splitlines() if line.split()[:1] == ["server"]]
    return {words[1]: " ".join(words[3:]) for words in lines}


def look(state: NodeState, scene: Scene, balancing: Balancer) -> None:
    state.view.load(scene.store.snapshot(KEYS.prefix, timeout_s=5))
    balancing.changed(state)


def test_before_anything_is_known_the_kept_configuration_is_tried_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a reboot, a port is in use by another program for a while, and etcd is away."""
    monkeypatch.setattr(balancer, "RETRY_S", 0.001)

    async def check(balancing: Balancer, applied: Applied, state: NodeState) -> None:
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(4):
                await applied.begun.get()
        applied.refuses = ""
        look(state, scene, balancing)
        await applied.next()

    run(check, scene, refuses="the port is in use")


def run(
    check: Callable[[Balancer, Applied, NodeState], Any],
    scene: Scene,
    note: Callable[[str, dict[str, Any]], None] = lambda *_: None,
    post: Callable[[HaproxySeen], None] = lambda _: None,
    refuses: str = "",
) -> None:
    async def main() -> None:
        context = NodeContext("n2", "/nowhere", None, tasks=Tasks(first_s=0.001))
        balancing = Balancer(HaproxySettings("/nowhere"), context, note, None, post=post)  # type: ignore[arg-type]
        applied = balancing._haproxy = Applied()  # type: ignore[assignment]
        applied.refuses = refuses
        await balancing.begin()
        try:
            await check(balancing, applied, node_state(scene.spec))  # type: ignore[arg-type]
        finally:
            await balancing.close()

    asyncio.run(main())


def test_the_owner_alone_is_in_use(scene: Scene) -> None:
    async def check(balancing: Balancer, applied: Applied, state: NodeState) -> None:
        look(state, scene, balancing)
        lines = servers(await applied.next(), "db")
        assert {name for name, words in lines.items() if "disabled" not in words} == {"n1"}
        scene.own("database", "n2", epoch=8, state="handoff")
        look(state, scene, balancing)
        assert all("disabled" in words for words in servers(await applied.next(), "db").values())
        scene.own("database", "n2", epoch=8)
        look(state, scene, balancing)
        lines = servers(await applied.next(), "db")
        assert {name for name, words in lines.items() if "disabled" not in words} == {"n2"}

    run(check, scene)


def test_a_drained_server_has_weight_0_unless_it_is_the_writer(scene: Scene) -> None:
    async def check(balancing: Balancer, applied: Applied, state: NodeState) -> None:
        scene.put(KEYS.drain("*", "n1"), Drain("anna"))
        look(state, scene, balancing)
        text = await applied.next()
        assert "weight 0" in servers(text, "api")["n1"]
        assert "weight 100" in servers(text, "api")["n2"]
        assert "weight 0" not in servers(text, "db")["n1"]
        scene.delete(KEYS.drain("*", "n1"))
        look(state, scene, balancing)
        assert "weight 100" in servers(await applied.next(), "api")["n1"]

    run(check, scene)


def test_another_writer_does_not_wait_for_other_changes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a debounce that never ends the writer's change comes all the same, another change does not."""

    async def check(balancing: Balancer, applied: Applied, state: NodeState) -> None:
        look(state, scene, balancing)
        await applied.next()
        monkeypatch.setattr(balancer, "DEBOUNCE_S", 3600)
        scene.put(KEYS.drain("api", "n3"), Drain("anna"))
        look(state, scene, balancing)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await applied.texts.get()
        scene.kill("n1")
        look(state, scene, balancing)
        text = await applied.next()
        assert all("disabled" in words for words in servers(text, "db").values())
        assert "weight 0" in servers(text, "api")["n3"]

    run(check, scene)


def test_groups_that_no_service_is_bound_to_do_not_matter(scene: Scene) -> None:
    async def check(balancing: Balancer, applied: Applied, state: NodeState) -> None:
        look(state, scene, balancing)
        await applied.next()
        before = balancing._wanted
        holder = scene.holder("n3")
        scene.put(KEYS.group("vip"), Ownership("n3", holder.session_id, holder.session_revision, 9, "owned"))
        look(state, scene, balancing)
        assert balancing._wanted == before

    run(check, scene)


def test_without_a_list_and_in_another_history_all_stays(scene: Scene) -> None:
    async def check(balancing: Balancer, applied: Applied, state: NodeState) -> None:
        look(state, scene, balancing)
        await applied.next()
        before = balancing._wanted
        state.forget_store()
        balancing.changed(state)
        assert balancing._wanted == before
        state.phase = "refused"
        scene.kill("n1")
        look(state, scene, balancing)
        assert balancing._wanted == before

    run(check, scene)


def test_a_refused_configuration_is_tried_again_without_end_and_reported_a_few_times(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balancer, "RETRY_S", 0.001)
    monkeypatch.setattr(balancer, "LONGEST_RETRY_S", 0.002)
    told: list[str] = []

    async def check(balancing: Balancer, applied: Applied, state: NodeState) -> None:
        applied.refuses = "the port is in use"
        look(state, scene, balancing)
        tried = [await applied.next() for _ in range(20)]
        assert len(set(tried)) == 1
        assert told.count("haproxy_not_applied") == 3
        assert applied.kept.empty(), "what HAProxy has not taken is not kept"
        applied.refuses = ""
        await applied.next()
        await applied.next_kept()
        count = applied.texts.qsize()
        await asyncio.sleep(0.05)
        assert applied.texts.qsize() == count, "what is applied is not applied again"

    run(check, scene, lambda event, _: told.append(event))


def test_an_error_that_nobody_foresaw_ends_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balancer, "RETRY_S", 0.001)

    async def check(balancing: Balancer, applied: Applied, state: NodeState) -> None:
        applied.raises = RuntimeError("no one thought of this")
        look(state, scene, balancing)
        for _ in range(3):
            await applied.next()
        applied.raises = None
        await applied.next()

    run(check, scene)


def test_another_writer_does_not_wait_for_the_next_attempt(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balancer, "RETRY_S", 3600)
    monkeypatch.setattr(balancer, "LONGEST_RETRY_S", 3600)

    async def check(balancing: Balancer, applied: Applied, state: NodeState) -> None:
        applied.refuses = "refused"
        look(state, scene, balancing)
        await applied.next()
        scene.own("database", "n2", epoch=8)
        look(state, scene, balancing)
        lines = servers(await applied.next(), "db")
        assert {name for name, words in lines.items() if "disabled" not in words} == {"n2"}

    run(check, scene)


def test_the_configuration_kept_for_after_a_reboot_names_no_writer(scene: Scene) -> None:
    async def check(balancing: Balancer, applied: Applied, state: NodeState) -> None:
        look(state, scene, balancing)
        await applied.next()
        kept = await applied.next_kept()
        assert all("disabled" in words for words in servers(kept, "db").values())
        assert not any("disabled" in words for words in servers(kept, "api").values())

    run(check, scene)


def test_groups_whose_vip_a_service_binds_hear_of_a_haproxy_that_is_not_well(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balancer, "RETRY_S", 0.01)
    monkeypatch.setattr(serving, "GRACE_S", 0.0)
    posted: asyncio.Queue[HaproxySeen] = asyncio.Queue()

    async def check(balancing: Balancer, applied: Applied, state: NodeState) -> None:
        applied.refuses = "HAProxy could not bind 10.0.0.30:5000"
        look(state, scene, balancing)
        async with asyncio.timeout(DEADLINE_S):
            assert await posted.get() == HaproxySeen("HAProxy could not bind 10.0.0.30:5000", frozenset({"vip"}), {})
            applied.refuses = ""
            assert await posted.get() == HaproxySeen("", frozenset({"vip"}), {})
        assert posted.empty(), "no service binds the address of the group `database`"

    run(check, scene, post=posted.put_nowait)
