"""A real HAProxy that was brought somewhere by commands has the same servers as one that was started there."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hactl.haproxy.control.commands import ask_all, carry_out
from hactl.haproxy.control.live import read_version
from hactl.haproxy.diff.reconcile import differences, parse_live
from hactl.haproxy.diff.step import decide_step
from hactl.haproxy.settings import HaproxyError
from tests.lab.haproxy.haproxy_lab import BINARY, DEADLINE_S

pytestmark = pytest.mark.skipif(
    not shutil.which(BINARY, path=f"{os.environ['PATH']}:/usr/sbin"), reason="needs haproxy"
)

# (address, port, weight, in use): None, where there is no such server.
Drawn = tuple[int, int, int | None, bool] | None


@dataclass(frozen=True)
class Config:
    """Servers of two proxies."""

    web: tuple[Drawn, ...]
    db: tuple[Drawn, ...]
    balance: str

    def text(self, socket: Path) -> str:
        return f"""\
global
    stats socket {socket} mode 600 level admin
defaults
    mode tcp
    timeout connect 1s
    timeout client 1s
    timeout server 1s
    default-server inter 60s
backend web
    balance {self.balance}
    default-server check weight 50 slowstart 1s
{_lines(self.web)}
backend db
    default-server on-marked-down shutdown-sessions
{_lines(self.db)}
"""


def _lines(servers: tuple[Drawn, ...]) -> str:
    lines = []
    for name, server in zip("abcd", servers, strict=True):
        if server is not None:
            address, port, weight, in_use = server
            host = f"127.0.0.{address}" if address else "[::1]"
            words = ("" if weight is None else f" weight {weight}") + ("" if in_use else " disabled")
            lines.append(f"    server {name} {host}:{port}{words}\n")
    return "".join(lines)


class Haproxy:
    """One in the foreground, without a master."""

    def __init__(self, directory: Path, name: str) -> None:
        self.socket, self.file = directory / f"{name}.sock", directory / f"{name}.cfg"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, config: Config) -> None:
        self.stop()
        self.file.write_text(config.text(self.socket))
        argv = [BINARY, "-db", "-f", str(self.file)]
        self._process = subprocess.Popen(argv, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE_S)
        self.socket.unlink(missing_ok=True)

    async def servers(self) -> dict[tuple[str, str], tuple[object, ...]]:
        return {
            (live.proxy, live.server): (live.host, live.port, live.weight, live.admin & 0x3B, live.check_state & 0x06)
            for live in parse_live(await self._ask())
        }

    async def differs_from(self, text: str) -> tuple[str, ...]:
        return differences(text, parse_live(await self._ask())).notes

    async def _ask(self) -> str:
        """The state of its servers, once it has started."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                assert self._process is not None and self._process.poll() is None, "HAProxy has ended"
                try:
                    (answer,) = await ask_all(str(self.socket), ["show servers state"], (), DEADLINE_S)
                    return answer
                except HaproxyError:
                    await asyncio.sleep(0.005)


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[Haproxy, Haproxy]]:
    with tempfile.TemporaryDirectory(prefix="hactl-") as directory, contextlib.ExitStack() as stack:
        made = Haproxy(Path(directory), "a"), Haproxy(Path(directory), "b")
        for haproxy in made:
            stack.callback(haproxy.stop)
        yield made


SERVERS = st.tuples(
    *[st.none() | st.tuples(st.integers(0, 3), st.integers(1, 9), st.none() | st.integers(0, 256), st.booleans())] * 4
)
CONFIGS = st.builds(Config, SERVERS, SERVERS, st.sampled_from(["roundrobin", "leastconn", "source", "random"]))


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    # Each example is a HAProxy that is started: to make one smaller would take minutes.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(CONFIGS, min_size=2, max_size=5, unique=True), st.booleans())
def test_by_commands_or_by_a_start(two: tuple[Haproxy, Haproxy], configs: list[Config], keeps_balance: bool) -> None:
    if keeps_balance:
        configs = [Config(config.web, config.db, configs[0].balance) for config in configs]

    async def scenario() -> None:
        changed, fresh = two
        version = await read_version(BINARY)
        changed.start(configs[0])
        await changed.servers()
        for old, new in itertools.pairwise(configs):
            step = decide_step(old.text(changed.socket), new.text(changed.socket), version)
            if step.kind == "reload":
                changed.start(new)
            else:
                await carry_out(str(changed.socket), step.commands, (), DEADLINE_S)
            fresh.start(new)
            wanted = await fresh.servers()
            assert await changed.servers() == wanted
            assert await changed.differs_from(new.text(changed.socket)) == ()

    asyncio.run(scenario())
