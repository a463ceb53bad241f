"""Real agents, and what is seen of their resources without them."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fencing.guard import stop
from hactl.linux.cgroup import Cgroup, prepare_root
from hactl.resources import factory
from hactl.resources.base import NodeContext
from hactl.resources.ocf import environment
from hactl.resources.ocf.resource import Ocf
from tests.support.namespaces import ip
from tests.support.ports import LOOPBACK
from tests.support.specs import resource_spec
from tests.support.waiting import until

# A busy machine takes its time to start a database.
TIMEOUT_MS = 90_000.0
_TESTER_S = 300.0
_COMPLAINT = re.compile(r"^\* rc=\d+: (.*)$", re.MULTILINE)
# ocf-tester knows the metadata of version 1.0 of the standard, and these agents are of 1.1.
OF_1_1 = "Your agent produces meta-data which does not conform to ra-api-1.dtd"


@dataclass(frozen=True)
class Real:
    """A resource of a real agent. `alive`: whether it runs, seen without the agent. `complaints`: what ocf-tester is
    right to say of the agent."""

    agent: str
    alive: Callable[[], bool]
    parameters: Mapping[str, str] = field(default_factory=dict)
    complaints: frozenset[str] = frozenset()

    @property
    def path(self) -> str:
        """Its program."""
        return environment.agent_path(self.agent)


def an_address(namespace: str, host: str, length: str) -> Real:
    """IPaddr2, in a network namespace."""
    given = {"ip": host, "cidr_netmask": length, "nic": "node"}
    return Real("heartbeat:IPaddr2", lambda: f" {host}/{length} " in ip("-n", namespace, "addr", "show"), given)


def has_port(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as client:
        return client.connect_ex((LOOPBACK, port)) == 0


@contextmanager
def cgroups(place: Path) -> Iterator[NodeContext]:
    """A node's context, its daemon's cgroup among its cgroups."""
    root = prepare_root(f"hactl-test-{uuid.uuid4().hex[:8]}")
    assert root is not None, "needs root and cgroup v2"
    Cgroup(f"{root}/daemon").create()
    try:
        yield NodeContext("n1", str(place), f"{root}/resources", f"{root}/daemon")
    finally:
        asyncio.run(Cgroup(root).kill_all(5))
        Cgroup(root).remove()


def made(real: Real, context: NodeContext) -> Ocf:
    """The resource, in a new daemon."""
    timings = {f"{action}_timeout_ms": TIMEOUT_MS for action in ("start", "stop", "monitor")}
    options = {"agent": real.agent, "parameters": dict(real.parameters)}
    resource = factory.make(resource_spec("real", "ocf", options, **timings), context, "group")
    assert isinstance(resource, Ocf)
    return resource


def await_life(real: Real, context: NodeContext) -> None:
    """Its life: started, looked at, started again, stopped; stopped once more; killed; killed by the guard."""
    resource = made(real, context)
    try:
        _life(real, resource)
        _next_daemon(real, context)
    finally:
        with suppress(Exception):
            asyncio.run(resource.kill())


def _life(real: Real, resource: Ocf) -> None:
    async def scenario() -> None:
        assert await resource.ready() == ""
        assert await resource.validate() == ""
        for begin in (resource.stop, resource.kill):
            await begin()
            seen = await resource.probe()
            assert seen.health == "stopped" and not real.alive(), "a stopped one can be stopped"
            await resource.start({})
            assert real.alive()
            assert (await resource.probe()).health == (await resource.monitor()).health == "running"
        await resource.start({})
        assert real.alive(), "a running one can be started"
        await resource.stop()
        assert (await resource.monitor()).health == "stopped" and not real.alive()

    asyncio.run(asyncio.wait_for(scenario(), 10 * TIMEOUT_MS / 1000))


def _next_daemon(real: Real, context: NodeContext) -> None:
    """Killed by the guard after the daemon's death, which ends nothing."""
    asyncio.run(made(real, context).start({}))
    asyncio.run(Cgroup(str(context.daemon_cgroup)).kill_all(5))
    resource = made(real, context)
    assert real.alive() and asyncio.run(resource.probe()).health == "running"
    (step,) = resource.guard_steps()
    until(lambda: stop.attempt(step) == "", "the guard has stopped it")
    assert not real.alive() and asyncio.run(resource.probe()).health == "stopped"
    assert Cgroup(str(context.cgroup_root)).pids() == []


def complaints_of_tester(real: Real, place: Path) -> frozenset[str]:
    """The complaints of ocf-tester about the agent with these parameters."""
    options = {"agent": real.agent, "parameters": dict(real.parameters)}
    env = environment.of_resource(resource_spec("tester", "ocf", options), "", "n1", str(place))
    Path(env["HA_RSCTMP"]).mkdir(parents=True, exist_ok=True)
    words = [word for name, value in real.parameters.items() for word in ("-o", f"{name}={value}")]
    env = os.environ | env
    # Not read by a pipe, neither here nor by ocf-tester (`-v`): a server may hold its starter's output.
    argv = ["ocf-tester", "-v", "-n", "tester", *words, real.path]
    log = place / "ocf-tester.log"
    with log.open("w") as output:
        done = subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            timeout=_TESTER_S, check=False,
        )  # fmt: skip
    said = log.read_text()
    complaints = frozenset(_COMPLAINT.findall(said))
    # It gives up in the middle, or ends with a `reload`, which starts some.
    subprocess.run([real.path, "stop"], env=env, capture_output=True, timeout=_TESTER_S, check=False)
    assert (done.returncode == 0) is not bool(complaints), said
    return complaints
