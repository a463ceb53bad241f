"""Looks, now and then and when asked, whether this node could use every fence device: a device that does not answer
is found when somebody has time to fix it, not when a node must be switched off.

The results are written below `devices/<node>` when an outcome has changed, or when an operator has asked
(`intents/fence-test`). Never while this node carries out a fence job: many devices take one login at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import structlog

from election.records import DeviceReport, TargetReport
from election.store import Compare, Put, StoreError, Txn
from fencing.linux.clock import utc_z
from fencing.topology import Device, Target, Topology
from hactl.daemon.daemon_view import DaemonView
from hactl.daemon.parts import fence_devices
from hactl.decide.reading import ReadState

if TYPE_CHECKING:
    from hactl.daemon.metrics import Metrics

log = structlog.get_logger()

# How many devices are asked at a time; of one device the plugs come one after another.
AT_ONCE = 4

# After a new configuration the nodes begin within this time, not all at the same moment.
SPREAD_S = 10.0

# After a test, or a write of an answer, that was not possible: so long until the next try.
RETRY_S = 1.0

# After a test in which a device failed: so long until the next one, doubling with each, up to the longest.
AGAIN_S, LONGEST_AGAIN_S = 10.0, 30.0

_TIMEOUT_S = 2.0

Result = Mapping[str, Any]


def next_test_s(interval_s: float, failed: int) -> float:
    """How long until the next test, after `failed` in a row in which a device failed: a fault that is over must
    not be reported for the rest of the interval."""
    return interval_s if not failed else min(interval_s, AGAIN_S * 2.0 ** min(failed - 1, 10), LONGEST_AGAIN_S)


class DeviceMonitor:
    """Tests the devices of the configuration in use. `note` and `count` take events and metrics; `cgroup`: below
    which the agents get cgroups of their own."""

    def __init__(
        self,
        host: DaemonView,
        note: Callable[[str, dict[str, Any]], None],
        count: Callable[[Callable[[Metrics], None]], None],
        cgroup: str | None = None,
    ) -> None:
        self._host, self._note, self._count, self._cgroup = host, note, count, cgroup
        self._news = asyncio.Event()
        self._testing: asyncio.Task[Sequence[Result]] | None = None
        self._tested: Topology | None = None  # the topology of `_results`
        self._results: Sequence[Result] | None = None
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

    # --- times -----------------------------------------------------------------------------------------------

    def _wait_s(self) -> float:
        if self._unsaid(self._host.state):
            return RETRY_S
        return max(0.0, self._next - time.monotonic())

    async def _follow(self, topology: Topology) -> None:
        """A new configuration is tested soon; one that says the same of devices is the same. The metadata of its
        agents is read at once: an action may be wanted any moment."""
        changed, self._tested = topology != self._tested, topology
        if not changed:
            return
        self._next = time.monotonic() + (random.uniform(0, SPREAD_S) if topology.devices else 0.0)
        self._results = None
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
        if self._results is None:
            return False
        mine = state.view.devices.get(state.node)
        if mine is None:
            return bool(self._results) or bool(self._answered)
        reported = mine.record
        return _outcomes(reported.targets) != _outcomes(self._results) or self._answered not in ("", reported.test)

    # --- testing ---------------------------------------------------------------------------------------------

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
        self._results = [_since(result, before, moment) for result in self._testing.result()]
        self._answered = request_id or self._answered
        self._failed = 0 if all(result["ok"] for result in self._results) else self._failed + 1
        wait_s = next_test_s(topology.test_interval_ms / 1000, self._failed)
        self._next = time.monotonic() + wait_s * random.uniform(0.9, 1.1)
        for result in self._results:
            self._tell(result, before.get(_key(result)))
        results, at = self._results, time.time()
        self._count(lambda metrics: metrics.observe_devices(results, at))

    def _before(self) -> dict[tuple[str, str, str], Result]:
        if self._results is not None:
            return {_key(result): result for result in self._results}
        mine = self._host.state.view.devices.get(self._host.config.node)
        return {_key(target): target for target in mine.record.targets} if mine else {}

    def _tell(self, result: Result, before: Result | None) -> None:
        about = {"device": result["device"], "plug": result["plug"], "target": result["node"]}
        if not result["ok"] and (before is None or before.get("ok")):
            self._note("fence_device_failed", {**about, "problem": result["detail"]})
        elif result["ok"] and before is not None and not before.get("ok"):
            self._note("fence_device_ok", about)

    async def _all(self, topology: Topology) -> Sequence[Result]:
        await fence_devices.preload(topology)
        turns = asyncio.Semaphore(AT_ONCE)
        by_device: dict[str, list[tuple[str, Target]]] = {}
        for node, fencing in topology.nodes.items():
            for target in dict.fromkeys(target for level in fencing.levels for target in level.targets):
                by_device.setdefault(target.device, []).append((node, target))

        async def test(name: str, uses: list[tuple[str, Target]]) -> list[Result]:
            if (device := topology.devices.get(name)) is None:  # the store's content is unchecked
                return [_result(node, target, False, "unknown", "it is not configured") for node, target in uses]
            async with turns:
                return await self._device(device, uses)

        tested = await asyncio.gather(*(test(name, uses) for name, uses in by_device.items()))
        return [result for results in tested for result in results]

    async def _device(self, device: Device, uses: list[tuple[str, Target]]) -> list[Result]:
        """The result for each of its targets. A device that fails as a whole is not asked for each of them."""
        if fence_devices.can(device, "monitor"):
            done = await fence_devices.ask(device, "monitor", device.status_timeout_ms, cgroup=self._cgroup)
            if done.outcome != "ok":
                return [_result(node, target, False, "unknown", f"monitor: {done.detail}") for node, target in uses]
        return [await self._target(device, node, target) for node, target in uses]

    async def _target(self, device: Device, node: str, target: Target) -> Result:
        live = self._session(node)
        done = await fence_devices.ask(
            device, "status", device.status_timeout_ms, plug=target.plug, node=node, cgroup=self._cgroup
        )
        ok, detail = done.outcome == "ok", "" if done.outcome == "ok" else done.detail
        if done.power == "off" and live and live == self._session(node):
            ok, detail = False, _off_though_alive(self._host.state.topology, node, target)
        return _result(node, target, ok, done.power, detail, done.seconds)

    def _session(self, node: str) -> int:
        session = self._host.state.view.sessions.get(node)
        return session.create_revision if session else 0

    async def _say(self, state: ReadState) -> None:
        host, me = self._host, self._host.config.node
        targets = tuple(cast(TargetReport, result) for result in self._results or ())
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
    """The possible meaning. An attempt that ended as the node came back may have left one outlet of several off."""
    claim = f"it says that {node} is off, which is alive: "
    if any(target in level.targets and len(level.targets) > 1 for level in topology.of(node).levels):
        return f"{claim}this one of its outlets is off (switch it on by hand), or another machine is meant"
    return f"{claim}another machine is meant"


def _busy(state: ReadState) -> bool:
    """Whether this node is carrying out a fence job."""
    return any(work.given_up is None for work in state.fencing.values())


def _result(node: str, target: Target, ok: bool, power: str, detail: str, seconds: float = 0.0) -> Result:
    result: Result = {"node": node, "device": target.device, "plug": target.plug, "ok": ok, "power": power}
    return {**result, "detail": detail, "seconds": round(seconds, 3)}


def _key(result: Result) -> tuple[str, str, str]:
    return str(result.get("node")), str(result.get("device")), str(result.get("plug"))


def _outcomes(results: Sequence[Result]) -> dict[tuple[str, str, str], bool]:
    return {_key(result): bool(result.get("ok")) for result in results}


def _since(result: Result, before: dict[tuple[str, str, str], Result], moment: str) -> Result:
    earlier = before.get(_key(result), {})
    since = earlier.get("since") if earlier.get("ok") == result["ok"] else None
    return {**result, "since": since or moment}
