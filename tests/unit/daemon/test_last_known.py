"""What was known of the cluster is there, with its age, while etcd is away: in the daemon, and for the next one."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from election.keys import Keys
from election.view import View
from hactl.daemon.parts import last_known
from hactl.daemon.parts.last_known import LastKnown, read
from hactl.decide.state import NodeState
from hactl.model.cluster import ClusterSpec
from tests.support.scene import KEYS, Scene
from tests.support.stand_in import node_state


def seeing(scene: Scene) -> NodeState:
    state = node_state(scene.spec)
    state.view.load(scene.store.snapshot(KEYS.prefix, timeout_s=1))
    return state


def made(place: Path, spec: ClusterSpec | None = None) -> LastKnown:
    async def last() -> ClusterSpec | None:
        return spec

    return LastKnown(str(place), KEYS, last)


def away(state: NodeState) -> NodeState:
    state.store_away = True
    state.forget_store()
    return state


def test_it_outlives_that_the_deciding_side_forgets(scene: Scene, tmp_path: Path) -> None:
    state, last = seeing(scene), made(tmp_path)
    asyncio.run(last.look(state))
    assert last.stale_ms(state) is None
    away(state)
    assert last.view is not None and set(last.view.groups) == set(scene.view.groups) != set()
    assert not state.view.groups and (last.stale_ms(state) or 0) >= 0


def test_the_next_daemon_has_it_while_etcd_is_away_with_its_age(scene: Scene, tmp_path: Path) -> None:
    scene.kill("n1")
    asyncio.run(made(tmp_path).look(seeing(scene)))
    (file,) = tmp_path.iterdir()
    assert oct(file.stat().st_mode)[-3:] == "600"
    os.utime(file, (time.time() - 60, time.time() - 60))
    last, state = made(tmp_path, scene.spec), node_state(None)
    asyncio.run(last.look(state))
    assert last.view is None and last.stale_ms(state) is None, "etcd may answer yet"
    asyncio.run(last.look(away(state)))
    assert last.view is not None and last.spec is scene.spec
    assert same(last.view, scene.view)
    assert 60_000 <= (last.stale_ms(state) or 0) < 70_000


def test_it_is_written_when_more_than_renewals_changed_and_else_touched_now_and_then(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = made(tmp_path)
    asyncio.run(last.look(seeing(scene)))
    (file,) = tmp_path.iterdir()
    first = file.stat().st_ino
    os.utime(file, (0, 0))
    asyncio.run(last.look(seeing(scene)))
    assert file.stat().st_mtime == 0
    monkeypatch.setattr(last_known, "KEEP_S", 0.0)
    asyncio.run(last.look(seeing(scene)))
    assert file.stat().st_ino == first and file.stat().st_mtime > 0
    monkeypatch.undo()
    scene.kill("n1")
    asyncio.run(last.look(seeing(scene)))
    assert file.stat().st_ino != first
    file.unlink()
    monkeypatch.setattr(last_known, "KEEP_S", 0.0)
    asyncio.run(last.look(seeing(scene)))
    assert file.exists()


@pytest.mark.parametrize("content", [b"", b"{", b'{"prefix": 3}', b"[" * 100_000, b"\xff"])
def test_an_unreadable_file_counts_as_none(tmp_path: Path, content: bytes) -> None:
    Path(tmp_path, "last-known.json").write_bytes(content)
    assert read(str(tmp_path), KEYS) is None


def test_another_clusters_is_not_taken(scene: Scene, tmp_path: Path) -> None:
    asyncio.run(made(tmp_path).look(seeing(scene)))
    assert read(str(tmp_path), KEYS) is not None
    assert read(str(tmp_path), Keys.of("another")) is None


def test_a_disk_that_takes_nothing_costs_nothing_but_the_file(scene: Scene, tmp_path: Path) -> None:
    last = made(tmp_path / "is not there")
    asyncio.run(last.look(seeing(scene)))
    assert last.view is not None


def test_an_unreadable_document_is_not_kept(scene: Scene, tmp_path: Path) -> None:
    scene.put(KEYS.group("vip"), "{")
    asyncio.run(made(tmp_path).look(seeing(scene)))
    kept = read(str(tmp_path), KEYS)
    assert kept is not None and set(kept[0].groups) == set(scene.view.groups) - {"vip"}


def test_a_key_that_is_not_the_clusters_is_damage(scene: Scene, tmp_path: Path) -> None:
    asyncio.run(made(tmp_path).look(seeing(scene)))
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text().replace('["/hactl/', '["/haxtl/', 1))
    assert read(str(tmp_path), KEYS) is None


@pytest.mark.parametrize("key", [KEYS.standby("n3"), KEYS.probe("vip"), KEYS.config])
@pytest.mark.parametrize("value", ["\udcff", "x" * 20_000_000])
def test_no_document_keeps_the_others_from_being_kept(scene: Scene, tmp_path: Path, key: str, value: str) -> None:
    if key == KEYS.config:
        value = value[:1000]
    scene.put(key, value)
    asyncio.run(made(tmp_path).look(seeing(scene)))
    kept = read(str(tmp_path), KEYS)
    assert kept is not None and set(kept[0].groups) == set(scene.view.groups) != set()
    assert kept[0].standby.keys() == seeing(scene).view.standby.keys()
    assert kept[0].mod_of(key) == seeing(scene).view.mod_of(key)


def test_a_state_too_large_to_be_read_is_not_written(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(made(tmp_path).look(seeing(scene)))
    monkeypatch.setattr(last_known, "LARGEST", 100)
    scene.kill("n1")
    last = made(tmp_path)
    asyncio.run(last.look(seeing(scene)))
    assert list(tmp_path.iterdir()) == [] and last.view is not None


def same(view: View, other: View) -> bool:
    return view.snapshot() == other.snapshot()
