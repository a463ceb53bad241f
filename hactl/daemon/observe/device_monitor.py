"""Looks, now and then and when asked, whether this node could use every fence device: a device that does not answer
is found when somebody has time to fix it, not when a node must be switched off.

What is found is written below `devices/<node>` when an outcome is another one, or when an operator has asked
(`intents/fence-test`). Never while this node carries out a fence job: many devices take one login at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import structlog

from election.keys import Keys
from election.records import DeviceReport, TargetReport
from election.store import Compare, Put, Store, StoreError, Txn
from fencing.linux.clock import utc_z
from fencing.topology import Device, Target, Topology
from hactl.config.node import NodeConfig
from hactl.daemon.parts import fence_devices
from hactl.decide.reading import ReadState

if TYPE_CHECKING:
    from hactl.daemon.metrics import Metrics

log = structlog.get_logger()

# How many devices are asked at a time; of one device the plugs come one after another.
AT_ONCE = 4

# After a new configuration the nodes begin within this time, not all at the same moment.
SPREAD_S = 10.0

# A test that is due, or an answer that is to be written, and cannot be: so long until the next try.
RETRY_S = 1.0

# After a test in which a device failed: so long until the next one, doubling with each, up to the longest.
AGAIN_S, LONGEST_AGAIN_S = 10.0, 30.0

_TIMEOUT_S = 2.0

Found = Mapping[str, Any]


class Host(Protocol):
    """What is needed of the daemon."""

    config: NodeConfig
    keys: Keys
    store: Store

    @property
    def state(self) -> ReadState:
        """What the decide side knows."""

    async def blocking(self, call: Callable[..., Any], *args: Any) -> Any:
        """Run a blocking call on a thread."""


def next_test_s(interval_s: float, failed: int) -> float:
    """How long until the next test, after `failed` in a row in which a device failed: a fault that is over is not to be
    told of for the rest of the interval."""
    return interval_s if not failed else min(interval_s, AGAIN_S * 2.0 ** min(failed - 1, 10), LONGEST_AGAIN_S)


class DeviceMonitor:
    """Tests the devices of the configuration in use. `note` and `count` take events and metrics; `cgroup`: below
    which the agents get cgroups of their own."""

    def __init__(
        self,
        host: Host,
        note: Callable[[str, dict[str, Any]], None],
        count: Callable[[Callable[[Metrics], None]], None],
        cgroup: str | None = None,
    ) -> None:
        self._host, self._note, self._count, self._cgroup = host, note, count, cgroup
        self._news = asyncio.Event()
        self._testing: asyncio.Task[Sequence[Found]] | None = None
        self._tested: Topology | None = None  # what `_found` is about
        self._found: Sequence[Found] | None = None
        self._next = 0.0
        self._failed = 0
        self._answered = ""

    def look(self, state: ReadState) -> None:
        """After every step of the decide side. Cheap."""
        if _busy(state) and self._testing is not None:
            self._testing.cancel()
        if state.cluster is not None and (state.cluster.fencing is not self._tested or self._requested(state)):
            self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s()):  # wait_for of Python 3.11 may lose a cancellation
                    await self._news.wait()
            self._news.clear()
            state = self._host.state
            if state.cluster is None or state.phase != "live" or _busy(state):
                await asyncio.sleep(RETRY_S)
                continue
            await self._follow(state.cluster.fencing)
            if self._requested(state) or time.monotonic() >= self._next:
                await self._test(state.cluster.fencing, self._requested(state))
            if self._unsaid(self._host.state):
                await self._say(self._host.state)

    # --- when ------------------------------------------------------------------------------------------------

    def _wait_s(self) -> float:
        if self._unsaid(self._host.state):
            return RETRY_S
        return max(0.0, self._next - time.monotonic())

    async def _follow(self, topology: Topology) -> None:
        """A new configuration is tested soon; one that says the same of devices is the same. What its agents are is
        found out at once: an action may be wanted any moment."""
        changed, self._tested = topology != self._tested, topology
        if not changed:
            return
        self._next = time.monotonic() + (random.uniform(0, SPREAD_S) if topology.devices else 0.0)
        self._found = None
        try:
            await fence_devices.preload(topology)
        except Exception:  # ours, not an agent's: it must not end the daemon
            log.exception("fence_agents_not_read")

    def _requested(self, state: ReadState) -> str:
        """The operator's request that is not answered yet, "" if there is none."""
        request, mine = state.view.fence_test, state.view.devices.get(state.node)
        known = (self._answered, mine.record.test if mine else "")
        return request.record.id if request is not None and request.record.id not in known else ""

    def _unsaid(self, state: ReadState) -> bool:
        """Whether the store holds another outcome than was found last."""
        if self._found is None:
            return False
        mine = state.view.devices.get(state.node)
        if mine is None:
            return bool(self._found) or bool(self._answered)
        reported = mine.record
        return _outcomes(reported.targets) != _outcomes(self._found) or self._answered not in ("", reported.test)

    # --- what ------------------------------------------------------------------------------------------------

    async def _test(self, topology: Topology, request_id: str) -> None:
        self._testing = asyncio.create_task(self._all(topology), name="fence devices")
        try:
            await asyncio.wait({self._testing})
        finally:
            self._testing.cancel()
        if self._testing.cancelled():  # a fence job has begun, or this daemon ends
            return
        if (error := self._testing.exception()) is not None:  # ours, not a device's: it must not end the daemon
            log.error("fence_test_crashed", error=repr(error), exc_info=error)
            await asyncio.sleep(RETRY_S)
            return
        before = self._before()
        moment = utc_z()
        self._found = [_since(one, before, moment) for one in self._testing.result()]
        self._answered = request_id or self._answered
        self._failed = 0 if all(one["ok"] for one in self._found) else self._failed + 1
        wait_s = next_test_s(topology.test_interval_ms / 1000, self._failed)
        self._next = time.monotonic() + wait_s * random.uniform(0.9, 1.1)
        for one in self._found:
            self._tell(one, before.get(_key(one)))
        found, at = self._found, time.time()
        self._count(lambda metrics: metrics.observe_devices(found, at))

    def _before(self) -> dict[tuple[str, str, str], Found]:
        if self._found is not None:
            return {_key(one): one for one in self._found}
        mine = self._host.state.view.devices.get(self._host.config.node)
        return {_key(target): target for target in mine.record.targets} if mine else {}

    def _tell(self, one: Found, before: Found | None) -> None:
        about = {"device": one["device"], "plug": one["plug"], "target": one["node"]}
        if not one["ok"] and (before is None or before.get("ok")):
            self._note("fence_device_failed", {**about, "problem": one["detail"]})
        elif one["ok"] and before is not None and not before.get("ok"):
            self._note("fence_device_ok", about)

    async def _all(self, topology: Topology) -> Sequence[Found]:
        await fence_devices.preload(topology)
        turns = asyncio.Semaphore(AT_ONCE)
        by_device: dict[str, list[tuple[str, Target]]] = {}
        for node, fencing in topology.nodes.items():
            for target in dict.fromkeys(target for level in fencing.levels for target in level.targets):
                by_device.setdefault(target.device, []).append((node, target))

        async def test(name: str, uses: list[tuple[str, Target]]) -> list[Found]:
            if (device := topology.devices.get(name)) is None:  # nobody has checked what is in the store
                return [_result(node, target, False, "unknown", "it is not configured") for node, target in uses]
            async with turns:
                return await self._device(device, uses)

        found = await asyncio.gather(*(test(name, uses) for name, uses in by_device.items()))
        return [one for several in found for one in several]

    async def _device(self, device: Device, uses: list[tuple[str, Target]]) -> list[Found]:
        """What each of its targets has come to. A device that fails as a whole is not asked for each of them."""
        if fence_devices.can(device, "monitor"):
            done = await fence_devices.ask(device, "monitor", device.status_timeout_ms, cgroup=self._cgroup)
            if done.outcome != "ok":
                return [_result(node, target, False, "unknown", f"monitor: {done.detail}") for node, target in uses]
        return [await self._target(device, node, target) for node, target in uses]

    async def _target(self, device: Device, node: str, target: Target) -> Found:
        live = self._session(node)
        done = await fence_devices.ask(
            device, "status", device.status_timeout_ms, plug=target.plug, node=node, cgroup=self._cgroup
        )
        ok, detail = done.outcome == "ok", "" if done.outcome == "ok" else done.detail
        if done.power == "off" and live and live == self._session(node):
            ok, detail = False, _off_though_alive(self._host.state.topology, node, target)
        return _result(node, target, ok, done.power, detail, done.seconds)

    def _session(self, node: str) -> int:
        found = self._host.state.view.sessions.get(node)
        return found.create_revision if found else 0

    async def _say(self, state: ReadState) -> None:
        host, me = self._host, self._host.config.node
        targets = tuple(cast(TargetReport, one) for one in self._found or ())
        report = DeviceReport(self._answered, utc_z(), state.config_rev, targets)
        txn = Txn(
            (Compare(host.keys.node(me), "create", state.session.session_revision),),
            (Put(host.keys.devices(me), report.to_json()),),
        )
        try:
            await host.blocking(lambda: host.store.txn(txn, timeout_s=_TIMEOUT_S))
        except StoreError as error:
            log.debug("fence_devices_not_told", problem=str(error))


def _off_though_alive(topology: Topology, node: str, target: Target) -> str:
    """What it can mean. An attempt that ended as the node came back may have left one outlet of several off."""
    claim = f"it says that {node} is off, which is alive: "
    if any(target in level.targets and len(level.targets) > 1 for level in topology.of(node).levels):
        return f"{claim}this one of its outlets is off (switch it on by hand), or another machine is meant"
    return f"{claim}another machine is meant"


def _busy(state: ReadState) -> bool:
    """Whether this node is carrying out a fence job."""
    return any(work.given_up is None for work in state.fencing.values())


def _result(node: str, target: Target, ok: bool, power: str, detail: str, seconds: float = 0.0) -> Found:
    found: Found = {"node": node, "device": target.device, "plug": target.plug, "ok": ok, "power": power}
    return {**found, "detail": detail, "seconds": round(seconds, 3)}


def _key(one: Found) -> tuple[str, str, str]:
    return str(one.get("node")), str(one.get("device")), str(one.get("plug"))


def _outcomes(found: Sequence[Found]) -> dict[tuple[str, str, str], bool]:
    return {_key(one): bool(one.get("ok")) for one in found}


def _since(one: Found, before: dict[tuple[str, str, str], Found], moment: str) -> Found:
    earlier = before.get(_key(one))
    same = earlier is not None and earlier.get("ok") == one["ok"] and earlier.get("since")
    return {**one, "since": earlier["since"] if earlier is not None and same else moment}
