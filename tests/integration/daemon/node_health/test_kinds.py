"""Each kind of check on the real thing: file systems, links, networks, the kernel's own figures, commands."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fencing.linux import cgroup as cgroup_v2
from hactl.daemon.observe.node_health import kinds
from hactl.daemon.observe.node_health.kinds import CannotTellError, Found, look
from hactl.linux import adjtimex
from hactl.linux.ping import _answers
from hactl.model.health import CheckSpec, Clock, Disk, Link, Load, Ping, Pressure, Route
from tests.support.cgroups import own_cgroup
from tests.support.hung_files import hung_files
from tests.support.namespaces import inside, ip

pytestmark = pytest.mark.root
QUICK_MS = 500.0


def found(cgroup: Path | None = None, timeout_ms: float = 10_000.0, **kind: Any) -> Found:
    return asyncio.run(look(CheckSpec("c", timeout_ms=timeout_ms, **kind), str(cgroup) if cgroup else None))


# --- disks ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def tmpfs(path: Path, options: str = "size=1m,nr_inodes=100") -> Iterator[Path]:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_room_and_inodes(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small") as path:
        disk = Disk(str(path), free="20%", inodes="20%")
        well = found(disk=disk)
        assert well.ok and "% free (limit 20%)" in well.text and well.value is not None and well.value > 90
        (path / "large").write_bytes(b"x" * 900_000)
        full = found(disk=disk)
        assert not full.ok and full.text.startswith(f"{path}: 1") and full.value is not None and full.value < 20
        assert found(disk=Disk(str(path), free="64KiB")).ok and not found(disk=Disk(str(path), free="512KiB")).ok
        (path / "large").unlink()
        for number in range(90):
            (path / str(number)).touch()
        assert not found(disk=disk).ok and found(disk=Disk(str(path), inodes="5")).ok


def test_a_file_system_that_became_read_only(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "fs") as path:
        subprocess.run(["mount", "-o", "remount,ro", str(path)], check=True)
        read_only = found(disk=Disk(str(path)))
        assert not read_only.ok and "is mounted read-only" in read_only.text
        assert found(disk=Disk(str(path), writable=False)).ok
        wrote = found(disk=Disk(str(path), writable=False, write=True))
        assert not wrote.ok and "Read-only file system" in wrote.text


def test_a_file_is_written_and_removed(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "fs") as path:
        assert found(disk=Disk(str(path), write=True)).ok
        assert list(path.iterdir()) == []
        (path / "large").write_bytes(b"x" * (1 << 20))
        full = found(disk=Disk(str(path), free="0%", inodes="0%", write=True))
        assert not full.ok and "No space left" in full.text
    assert not found(disk=Disk(str(tmp_path / "none"))).ok


def test_a_disk_that_hangs_holds_up_nothing_and_is_not_asked_again_and_again(tmp_path: Path) -> None:
    with hung_files(tmp_path / "hung") as files:
        before = len(os.listdir("/proc/self/task"))  # noqa: PTH208
        for _ in range(6):
            began = time.monotonic()
            hung = found(disk=Disk(str(files.path)), timeout_ms=QUICK_MS)
            assert not hung.ok and "does not answer within 0.5 s" in hung.text
            assert time.monotonic() - began < 5
        assert len(os.listdir("/proc/self/task")) <= before + 2  # noqa: PTH208
        assert not files.given_up
    assert found(disk=Disk(str(tmp_path))).ok


# --- networks ------------------------------------------------------------------------------------------------


@pytest.fixture
def network() -> Iterator[str]:
    """A namespace with `eth0`, 10.99.0.1 and fd99::1, whose neighbour, 10.99.0.2 and fd99::2, is in another."""
    names = [f"hactl-health-{side}-{os.getpid()}" for side in ("a", "b")]
    for name in names:
        ip("netns", "add", name)
    try:
        ip("-n", names[0], "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", names[1])
        for number, name in enumerate(names, 1):
            ip("-n", name, "addr", "add", f"10.99.0.{number}/24", "dev", "eth0")
            ip("-n", name, "addr", "add", f"fd99::{number}/64", "dev", "eth0", "nodad")
            ip("-n", name, "link", "set", "eth0", "up")
        yield names[0]
    finally:
        for name in names:
            ip("netns", "del", name)


def neighbour(network: str) -> str:
    return network.replace("-a-", "-b-")


def test_carrier(network: str) -> None:
    def up() -> Found:
        made: Found = inside(network, lambda: found(link=Link("eth0")))
        return made

    assert up() == Found(True, "eth0: up")
    ip("-n", neighbour(network), "link", "set", "eth0", "down")
    assert up() == Found(False, "eth0: no carrier, or down")
    ip("-n", neighbour(network), "link", "set", "eth0", "up")
    ip("-n", network, "link", "set", "eth0", "down")
    assert not up().ok
    assert inside(network, lambda: found(link=Link("eth9"))) == Found(False, "eth9: there is no such interface")


@pytest.mark.parametrize("address", ["10.99.0.2", "fd99::2"])
def test_a_ping_target_that_goes_away(network: str, address: str) -> None:
    def asked(*targets: str, at_least: int = 1, timeout_ms: float = 1000.0) -> Found:
        made: Found = inside(network, lambda: found(ping=Ping(targets, at_least), timeout_ms=timeout_ms))
        return made

    assert asked(address, timeout_ms=10_000.0) == Found(True, "1 of 1 answer (limit 1)", 1.0)
    none = "10.99.0.77" if "." in address else "fd99::77"
    assert asked(address, none).ok
    both = asked(address, none, at_least=2)
    assert not both.ok and both.text.startswith(f"1 of 2 answer (limit 2); {none}: ")
    ip("-n", neighbour(network), "addr", "flush", "dev", "eth0")
    assert not asked(address).ok
    ip("-n", network, "link", "set", "eth0", "down")
    gone = asked(address)
    assert not gone.ok and gone.value == 0


def test_many_pings_at_one_time_are_told_apart(network: str) -> None:
    async def many() -> list[Found]:
        specs = [CheckSpec(str(n), ping=Ping(("10.99.0.2", "fd99::2"), 2), timeout_ms=10_000.0) for n in range(20)]
        return await asyncio.gather(*(look(spec, None) for spec in specs))

    assert all(one.ok for one in inside(network, lambda: asyncio.run(many())))


@pytest.mark.parametrize(("version", "head"), [(4, b"\x45" + bytes(19) + b"\x00"), (6, b"\x81")])
def test_the_answer_to_another_ping_is_none(version: int, head: bytes) -> None:
    packet = head + bytes(7) + b"the mark"
    assert _answers(packet, version, b"the mark")
    assert not _answers(packet, version, b"another.") and not _answers(b"", version, b"the mark")
    assert not _answers(packet.replace(head[-1:], b"\x08"), version, b"the mark")  # a request


def test_routes(network: str) -> None:
    def route(*to: str) -> Found:
        made: Found = inside(network, lambda: found(route=Route(to)))
        return made

    assert route("10.99.0.77", "fd99::77").ok
    away = route("10.99.0.77", "192.0.2.1")
    assert not away.ok and away.text == "to 192.0.2.1: Network is unreachable"
    ip("-n", network, "route", "add", "default", "via", "10.99.0.2")
    assert route("192.0.2.1").ok


# --- the kernel's figures ------------------------------------------------------------------------------------


def test_load() -> None:
    assert found(load=Load(10_000)).ok
    assert not found(load=Load(-1)).ok
    assert "(limit 8)" in found(load=Load(8)).text


def test_pressure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("memory", "io", "cpu"):
        some = f"some avg10=0.00 avg60={50.5 if name == 'cpu' else 90.0} avg300=0.00 total=1\n"
        full = "full avg10=0.00 avg60=12.50 avg300=0.00 total=1\n"
        (tmp_path / name).write_text(some + (full if name != "cpu" else ""))
    monkeypatch.setattr(kinds, "PRESSURE", tmp_path)
    assert found(pressure=Pressure(memory="13%", io="12.5%", cpu="51%")) == Found(
        True, "memory 12.5 % (limit 13%), io 12.5 % (limit 12.5%), cpu 50.5 % (limit 51%)", 50.5
    )
    assert not found(pressure=Pressure(memory="12%")).ok and not found(pressure=Pressure(cpu="50%")).ok
    (tmp_path / "memory").unlink()
    with pytest.raises(CannotTellError, match="memory"):
        found(pressure=Pressure(memory="12%"))


def test_the_kernels_own_pressure() -> None:
    if not kinds.PRESSURE.exists():
        pytest.skip("a kernel without PSI")
    assert found(pressure=Pressure(memory="100%", io="100%", cpu="100%")).ok


def test_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    state = adjtimex.clock_state()
    if os.path.exists("/usr/sbin/adjtimex"):  # noqa: PTH110
        printed = subprocess.run(["adjtimex", "--print"], capture_output=True, text=True, check=True).stdout
        assert f"maxerror: {round(state.max_error_ms * 1000)}"[:12] in printed
    assert 0 <= state.max_error_ms <= 16_000.001
    well = found(clock=Clock(20_000.0))
    assert well.ok == state.synchronised and well.value == pytest.approx(state.max_error_ms, abs=50)
    for synchronised, error_ms, ok in ((True, 400, True), (True, 600, False), (False, 1, False)):
        monkeypatch.setattr(kinds, "clock_state", lambda s=synchronised, e=error_ms: adjtimex.ClockState(s, e))
        assert found(clock=Clock(500.0)).ok == ok


# --- commands ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "ok", "text"),
    [
        ("echo one; echo 42 degrees", True, "exit status 0: 42 degrees"),
        ("true", True, "exit status 0"),
        ("echo too hot >&2; exit 2", False, "exit status 2: too hot"),
        ("kill -9 $$", False, "exit status -9"),
        ("sleep 1000", False, "did not end within 0.5 s and was killed"),
        (
            "trap '' TERM; setsid sleep 1000 & while :; do sleep 1; done",
            False,
            "did not end within 0.5 s and was killed",
        ),
        ("head -c 9000000 /dev/zero; exit 1", False, "exit status 1"),
    ],
)
def test_commands(script: str, ok: bool, text: str) -> None:
    with own_cgroup("health") as cgroup:
        long = 10_000.0 if "within" not in text else QUICK_MS
        made = found(cgroup, long, command=("/bin/sh", "-c", script))
        assert made.ok == ok and made.text.startswith(text)
        assert not cgroup_v2.pids(cgroup)


def test_a_command_that_there_is_not() -> None:
    assert not found(command=("/no/such",)).ok
