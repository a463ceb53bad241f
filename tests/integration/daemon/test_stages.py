"""The daemon's start: the imports and steps before the session of the last daemon is renewed."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from election.memory_store import MemoryStore
from hactl.admin.event_log import new_entry
from hactl.config.cluster_key import create_key
from hactl.config.node import NodeConfig
from hactl.daemon import deferred
from hactl.daemon.actions import Actions
from hactl.daemon.deferred import SecondStage
from hactl.daemon.guard_link import GuardLink
from hactl.decide.state import NodeState
from hactl.model.effects import Act
from hactl.model.events import Acted, Event, GuardFacts
from hactl.model.hooks import HookSpec
from hactl.model.purposes import Purpose
from hactl.model.resources import ResourceSpec
from hactl.resources.base import NodeContext, Resource
from hactl.supervise import Tasks
from tests.support.scene import Scene, at, fenced, spec
from tests.support.specs import resource_spec
from tests.support.stand_in import StandIn, node_state
from tests.support.waiting import wait_until

DEADLINE_S = 10.0

# Modules that may be there when the session is adopted. Each costs time when there is least of it: add one here only if
# no session can be adopted without it, and if it is small.
OWN = {
    "hactl.config": {
        "cluster_key", "compiled", "errors", "etcd_access", "node", "node_checks", "signature", "stored",
        "toml_lines", "etcd_admin", "etcd_snapshots",
    },
    "hactl.daemon": {
        "actions", "deferred", "guard_link", "log", "log.setup", "log.writer", "loop", "main", "observe",
        "observe.etcd", "observe.etcd_access", "observe.etcd_metrics",
        "observe.loop_times", "observe.namesake", "observe.run_dir",
        "observe.self_check", "observe.watchdog", "parts", "parts.config_reader", "parts.config_reading",
        "parts.environment",
        "parts.fencer", "parts.history", "parts.last_known", "parts.ledger", "parts.machine", "parts.member",
        "parts.private_files", "parts.sdnotify", "parts.self_fence", "parts.state_files",
        "parts.state_keeper", "parts.troubles", "registrar", "startup", "store_link",
    },
    "hactl.resources": {
        "base", "factory", "moving", "turns",
    },
    "hactl.haproxy": set(),
    "hactl.linux": {
        "aside", "atomic_write", "cgroup", "disk_thread", "drop_ins", "errors", "inotify", "process_identity", "run",
        "wait_readable",
    },
    "hactl.status": {
        "etcd", "etcd.command", "etcd.judge", "etcd.membership", "etcd.problems", "etcd.strain",
    },
    "hactl.admin": {
        "event_log",
    },
}  # fmt: skip
OTHERS = {"etcd3", "google", "grpc", "msgspec", "six", "structlog", "tenacity", "typing_extensions"}
SLOW = {"csv", "email", "http", "multiprocessing", "sqlite3", "tempfile", "unittest", "urllib.request", "xml"}


def test_modules_imported_before_the_session_is_adopted() -> None:
    script = "import hactl.daemon.main, argparse, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    loaded = {name for name in done.stdout.split() if not name.startswith("_")}
    for package, allowed in OWN.items():
        imported = {name.removeprefix(f"{package}.") for name in loaded if name.startswith(f"{package}.")}
        assert imported <= allowed, package
    tops = {name.partition(".")[0] for name in loaded}
    assert tops - sys.stdlib_module_names - {"hactl", "election", "fencing", "cython_runtime"} <= OTHERS
    assert loaded & SLOW == set()


def _no_resource(group: str, spec: ResourceSpec) -> Resource:
    raise AssertionError(f"{group}/{spec.name} is not looked at in this test")


def _state(*, guarded: bool) -> NodeState:
    state = node_state(Scene(MemoryStore()).spec)
    state.phase, state.session.state = "listing", "none"
    if guarded:
        facts = GuardFacts("sid", at(60_000), False, (), 1)
        state.boot = state.boot._replace(guard=facts)
    return state


def _stage(tmp_path: Path) -> SecondStage:
    config = NodeConfig(cluster="demo", node="n2", state_dir=str(tmp_path), run_dir=str(tmp_path))
    return SecondStage(config, NodeContext("n2", str(tmp_path), None), lambda event, data: None)


def test_nothing_else_is_done_while_there_may_be_a_session_to_renew(tmp_path: Path) -> None:
    async def main() -> None:
        stage, state = _stage(tmp_path), _state(guarded=True)
        stage.look(state)
        assert not stage.settled.is_set()
        state.phase = state.session.state = "live"
        stage.look(state)
        assert not stage.settled.is_set()
        state.observer.last_own_renewal = at(1)
        stage.look(state)
        assert stage.settled.is_set()

    asyncio.run(main())


@pytest.mark.parametrize("phase", ["listing", "stopping", "refused"])
def test_nothing_is_waited_for_where_there_is_none(tmp_path: Path, phase: str) -> None:
    async def main() -> None:
        stage, state = _stage(tmp_path), _state(guarded=phase != "listing")
        state.phase = phase  # type: ignore[assignment]
        stage.look(state)
        assert stage.settled.is_set()

    asyncio.run(main())


def test_devices_are_tested_from_the_first_device_on(tmp_path: Path) -> None:
    async def main() -> None:
        stage, state = _stage(tmp_path), _state(guarded=False)
        testing = asyncio.create_task(stage._test_devices(StandIn(Scene(), NodeConfig(cluster="demo", node="n2"))))
        stage.look(state)
        await asyncio.sleep(0)
        assert stage.devices_configured._waiters and not stage.devices_configured.is_set()
        state.cluster = spec(fenced("{name: switch, agent: /opt/fence_tower}"))
        stage.look(state)
        try:
            async with asyncio.timeout(DEADLINE_S):
                while stage._devices is None:  # noqa: ASYNC110 - an import on a thread
                    await asyncio.sleep(0.01)
        finally:
            testing.cancel()
            await asyncio.gather(testing, return_exceptions=True)

    asyncio.run(main())


def test_the_second_stage_comes_after_the_first_and_has_its_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = NodeConfig(
        cluster="demo",
        node="n2",
        state_dir=str(tmp_path),
        run_dir=str(tmp_path),
        metrics_listen="",
        operate_group="",
        read_group="",
        cluster_key=str(tmp_path / "key"),
    )
    create_key(tmp_path / "key")

    async def main() -> None:
        ours, guard = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        guard.setblocking(False)
        link = GuardLink(ours, DEADLINE_S, None)
        stage = SecondStage(config, NodeContext("n2", str(tmp_path), None), lambda event, data: None)
        daemon = StandIn(Scene(MemoryStore()), config)
        stage.count(lambda metrics: metrics.observe_txn(Purpose.RENEW, 0.001, "ok"))
        monkeypatch.setattr(deferred, "WAIT_S", DEADLINE_S)
        running = asyncio.create_task(stage.run(daemon, link, lambda told: None, _no_resource))
        await asyncio.wait({running}, timeout=0.2)
        assert stage.balancer is None and stage.asker is None
        with pytest.raises(AttributeError):
            _ = stage.metrics
        stage.settled.set()
        await wait_until(Path(config.api_socket).exists, "the API is served", blocking=True)
        stage.count(lambda metrics: metrics.observe_txn(Purpose.RENEW, 0.001, "ok"))
        assert b"hactl_renew_seconds_count 2.0" in stage.metrics.text()
        asked = json.loads(await asyncio.wait_for(asyncio.get_running_loop().sock_recv(guard, 4096), DEADLINE_S))
        assert daemon.state.cluster is not None
        assert (asked["op"], asked["address"]) == ("listen", daemon.state.cluster.address("n2"))
        await running
        await stage._context.tasks.close()
        await stage.close()
        await link.close()
        guard.close()

    asyncio.run(main())


def test_a_part_that_fails_leaves_the_others_alone_and_comes_when_it_can(tmp_path: Path) -> None:
    config = NodeConfig(
        cluster="demo", node="n2", state_dir=str(tmp_path), run_dir=str(tmp_path), metrics_listen="",
        operate_group="", read_group="", http_group="",
        cluster_key=str(tmp_path / "key"),
    )  # fmt: skip
    create_key(tmp_path / "key")
    in_its_place = Path(f"{config.api_socket}.new")
    in_its_place.mkdir()

    async def main() -> None:
        ours, guard = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        guard.setblocking(False)
        link = GuardLink(ours, DEADLINE_S, None)
        said: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        tasks = Tasks(lambda *change: said.put_nowait(change), first_s=0.01)
        stage = SecondStage(config, NodeContext("n2", str(tmp_path), None, None, tasks), lambda event, data: None)
        stage.settled.set()
        await stage.run(StandIn(Scene(MemoryStore()), config), link, lambda told: None, _no_resource)
        async with asyncio.timeout(DEADLINE_S):
            name, reason = await said.get()
            assert name == "API" and str(in_its_place) in reason
            asked = json.loads(await asyncio.get_running_loop().sock_recv(guard, 4096))
            assert asked["op"] == "listen"
            await asyncio.to_thread(in_its_place.rmdir)
            await wait_until(Path(config.api_socket).exists, "the API is served", blocking=True)
            assert await said.get() == ("API", "")
        await tasks.close()
        await stage.close()
        await link.close()
        guard.close()

    asyncio.run(main())


def test_devices_are_tested_whatever_was_there_first(tmp_path: Path) -> None:
    """The configuration may be known before guards are asked, and after."""

    class Asker:
        def look(self, _state: NodeState) -> None:
            """As a guard_asker that is there already."""

    async def main() -> None:
        stage = _stage(tmp_path)
        stage.asker = Asker()  # type: ignore[assignment]
        stage.look(node_state(spec(fenced("{name: switch, agent: fence_dummy}"))))
        assert stage.devices_configured.is_set()

    asyncio.run(main())


def test_probes_wait_and_stops_do_not(tmp_path: Path) -> None:
    spec = resource_spec("thing", "exec", {"start": ["true"], "stop": ["true"], "monitor": ["true"]})

    async def main() -> None:
        done: asyncio.Queue[Event] = asyncio.Queue()
        settled = asyncio.Event()
        stage = _stage(tmp_path)
        context = NodeContext("n1", str(tmp_path), None)
        actions = Actions(context, "demo", done.put_nowait, settled, stage.balancer_resource)
        actions.act(Act(1, "one", spec, "probe", 0, 5000.0))
        actions.act(Act(2, "two", spec, "stop", 0, 5000.0))
        async with asyncio.timeout(DEADLINE_S):
            stopped = await done.get()
            assert isinstance(stopped, Acted) and stopped.id == 2
            assert done.empty()
            settled.set()
            probed = await done.get()
            assert isinstance(probed, Acted) and probed.id == 1
        await actions.close()

    asyncio.run(main())


def test_hooks_get_the_events_of_the_first_moments(tmp_path: Path) -> None:
    """Before it is known whether there are hooks, and before they are loaded."""
    hook = HookSpec("h", ("failover",), ("/bin/false",))

    async def main() -> None:
        stage, state = _stage(tmp_path), _state(guarded=False)
        cluster = state.cluster
        assert cluster is not None
        daemon = StandIn(Scene(), NodeConfig(cluster="demo", node="n2"))
        stage.told(new_entry("n2", 1, 1.0, "failover", {}))
        state.cluster = daemon.state.cluster = replace(cluster, hooks=(hook,))
        stage.look(state)
        stage.told(new_entry("n2", 2, 2.0, "failover", {}))
        delivering = asyncio.create_task(stage._deliver(daemon))
        await wait_until(lambda: stage.hooks is not None, "hooks are there")
        assert stage.hooks is not None
        [status] = stage.hooks.status()
        assert status["waiting"] == 2
        delivering.cancel()
        await daemon.tasks.close()

    async def none() -> None:
        stage, state = _stage(tmp_path), _state(guarded=False)
        stage.told(new_entry("n2", 1, 1.0, "failover", {}))
        stage.look(state)
        stage.told(new_entry("n2", 2, 2.0, "failover", {}))
        assert not stage._early and not stage.hooks_configured.is_set()

    asyncio.run(main())
    asyncio.run(none())
