"""Synthetic checks: asks services through their VIPs, as clients do, and reports whether they answered, and how soon.

Nothing is decided by it. The order of the nodes that probe: `hactl.decide.probing`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from typing import NamedTuple

import structlog

from hactl.daemon.daemon_view import DaemonView
from hactl.daemon.metrics import Metrics
from hactl.decide import probing
from hactl.decide.reading import ReadState
from hactl.model.cluster import ClusterSpec
from hactl.model.service_parts import Probe
from hactl.status.health import ProbeHealth

log = structlog.get_logger()

# A service that does not answer is asked again so soon; when it does not answer so often in a row, it has failed.
AGAIN_S = 1.0
FAILURES = 2

# So many are asked at one time; so much of an answer is read.
AT_ONCE = 20
MAX_ANSWER = 64 * 1024

# A proxy that accepts a TCP connection and has no server for it closes it soon.
STAYS_S = 0.3


class ProbeAnswer(NamedTuple):
    """How a probe ended. `problem`: "" when it completed. `seconds`: until it was answered, or given up."""

    seconds: float
    problem: str


class _Job(NamedTuple):
    service: str
    probe: Probe
    target: str


class ProbeError(Exception):
    """The service did not answer as it should; the message says how."""


class ServiceProbes:
    """`tell` gets, for each service that this node probes, the outcome; None when it does so no more."""

    def __init__(
        self,
        daemon: DaemonView,
        tell: Callable[[str, ProbeHealth | None], None],
        count: Callable[[Callable[[Metrics], None]], None],
    ) -> None:
        self._daemon, self._tell, self._count = daemon, tell, count
        self._jobs: dict[_Job, asyncio.Task[None]] = {}
        self._healths: dict[str, ProbeHealth] = {}
        self._cluster: ClusterSpec | None = None
        self._changed = asyncio.Event()
        self._turns = asyncio.Semaphore(AT_ONCE)

    def look(self, state: ReadState) -> None:
        """After every step of the decide side. Cheap."""
        if state.cluster is not self._cluster:
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        self._changed.set()
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                self._cluster = self._daemon.state.cluster
                self._follow(_jobs(self._cluster) if self._cluster else set())
        finally:
            self._follow(set())

    def _follow(self, wanted: set[_Job]) -> None:
        for job in self._jobs.keys() - wanted:
            self._jobs.pop(job).cancel()
            self._forget(job.service)
            if job.service not in {other.service for other in wanted}:
                self._count(lambda metrics, name=job.service: metrics.forget_probe(name))  # type: ignore[misc]
        for job in wanted - self._jobs.keys():
            self._jobs[job] = self._daemon.tasks.keep(f"probe of {job.service}", functools.partial(self._probe, job))

    async def _probe(self, job: _Job) -> None:
        """Probe one service, until cancelled."""
        failures = 0
        while True:
            wait_s = self._wait_s(job)
            await asyncio.sleep(AGAIN_S if 0 < failures < FAILURES else wait_s or job.probe.interval_ms / 1000)
            if self._wait_s(job) is None:
                failures = 0
                self._forget(job.service)
                continue
            async with self._turns:
                answer = await ask(job.target, job.probe)
            failures = failures + 1 if answer.problem else 0
            self._count(lambda metrics, last=answer: metrics.observe_probe(job.service, last.seconds, not last.problem))  # type: ignore[misc]
            if failures in (0, FAILURES) or job.service in self._healths:
                self._learn(job.service, answer, failed=failures >= FAILURES)

    def _wait_s(self, job: _Job) -> float | None:
        """Until it is this node's turn; None: it has the address, or takes no part."""
        state, me = self._daemon.state, self._daemon.config.node
        if state.cluster is None:
            return None
        nodes = probing.probers(state.view, state.cluster, job.target)
        if me not in nodes or is_local(probing.split(job.target)[0]):
            return None
        now = time.time()
        return probing.next_turn(now, job.probe.interval_ms / 1000, job.service, nodes.index(me), len(nodes)) - now

    def _learn(self, service: str, answer: ProbeAnswer, *, failed: bool) -> None:
        before = self._healths.get(service)
        if answer.problem and not failed:
            return  # once is never
        outcome = "failed" if failed else "completed"
        since = before.since if before is not None and before.outcome == outcome else int(time.time())
        self._healths[service] = ProbeHealth(outcome, round(answer.seconds * 1000, 1), answer.problem, since)
        self._tell(service, self._healths[service])

    def _forget(self, service: str) -> None:
        if self._healths.pop(service, None) is not None:
            self._tell(service, None)


def _jobs(cluster: ClusterSpec) -> set[_Job]:
    jobs = set()
    for service in cluster.services:
        probe, target = service.options.probe, probing.target(service, cluster)
        if probe and target and service.options.enabled:
            jobs.add(_Job(service.name, probe, target))
    return jobs


async def ask(target: str, probe: Probe) -> ProbeAnswer:
    """Make one request."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(probe.timeout_ms / 1000):
            return ProbeAnswer(await _ask(target, probe, began), "")
    except TimeoutError:
        problem = f"no answer within {probe.timeout_ms / 1000:g} s"
    except ProbeError as error:
        problem = str(error)
    except (OSError, ssl.SSLError) as error:
        problem = f"{error.strerror or error}"
    except ValueError:
        problem = "no HTTP answer: its first line has no end"
    return ProbeAnswer(time.monotonic() - began, problem)


async def _ask(target: str, probe: Probe, began: float) -> float:
    """Seconds until the answer. Raises ProbeError, OSError."""
    address, port = probing.split(target)
    tls = _unverified() if probe.tls else None
    reader, writer = await asyncio.open_connection(address, int(port), ssl=tls, limit=MAX_ANSWER)
    try:
        if probe.kind == "tcp":
            return await _stays(reader, began)
        host = probe.host or target
        writer.write(
            f"GET {probe.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: hactl\r\nConnection: close\r\n\r\n".encode()
        )
        line = await reader.readline()
        seconds = time.monotonic() - began
        _check_status(line, probe.expect_status)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STAYS_S):  # a connection that is cut off looks like a client in trouble
                await reader.readexactly(MAX_ANSWER)
        return seconds
    except asyncio.IncompleteReadError:
        return seconds
    finally:
        writer.close()


async def _stays(reader: asyncio.StreamReader, began: float) -> float:
    """Raises ProbeError when the connection is closed at once."""
    seconds = time.monotonic() - began
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STAYS_S):
            if not await reader.read(1):
                raise ProbeError("the connection was closed at once")
            seconds = time.monotonic() - began
    return seconds


def _check_status(line: bytes, expected: str) -> None:
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ProbeError(f"no HTTP answer: {line[:40]!r}" if line else "the connection was closed without an answer")
    if not _matches(int(words[1]), expected):
        raise ProbeError(f"status {int(words[1])}, not {expected}")


def _matches(status: int, expected: str) -> bool:
    """`expected`: codes and ranges of codes, with commas between them."""
    ranges = (part.strip().partition("-") for part in expected.split(","))
    return any(int(low) <= status <= int(high or low) for low, _, high in ranges)


def is_local(address: str) -> bool:
    """Whether the address is on this machine: the kernel would then speak to it from itself."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))  # sends nothing
            return ipaddress.ip_address(probe.getsockname()[0]) == ipaddress.ip_address(address)
        except (OSError, ValueError):
            return False


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
