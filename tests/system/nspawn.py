"""A real systemd, booted by systemd-nspawn from a minimal Debian, thrown away after the tests.

The root tree is made once by debootstrap, in $HACTL_CACHE, else ~/.cache/hactl; it is never written to
afterwards: the container's changes are kept in memory. $HACTL_DEBIAN_MIRROR names another mirror.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.package import cache

SUITE = "bookworm"
NEEDED = ("debootstrap", "systemd-nspawn", "setpriv")
BOOT_S = 60.0


@dataclass(frozen=True)
class Machine:
    """The container. `leader`: its systemd, as a pid of this machine's."""

    leader: int

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.leader}/root")

    @property
    def bus(self) -> str:
        return f"unix:path={self.root}/run/dbus/system_bus_socket"

    def run(self, *argv: str) -> str:
        """Run a command inside."""
        into = ["nsenter", "--target", str(self.leader), "--all", "--"]
        done = subprocess.run([*into, *argv], capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def unit(self, name: str, text: str) -> None:
        """Install a unit."""
        (self.root / "run/systemd/system").mkdir(parents=True, exist_ok=True)
        (self.root / "run/systemd/system" / name).write_text(text)
        self.run("systemctl", "daemon-reload")


def until(condition: Callable[[], object], deadline_s: float = BOOT_S) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)


def root_tree(name: str = "systemd", packages: Sequence[str] = ()) -> Path:
    """The root tree of this name, with these packages beside systemd; made if it is not there yet."""
    tree = cache() / f"{SUITE}-{name}"
    with (cache() / f"{SUITE}-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            staged = cache() / f"{SUITE}-{name}.new"
            shutil.rmtree(staged, ignore_errors=True)
            include = ",".join(("systemd", "dbus", "systemd-sysv", *packages))
            argv = ["debootstrap", "--variant=minbase", f"--include={include}", SUITE, str(staged)]
            mirror = os.environ.get("HACTL_DEBIAN_MIRROR")
            done = subprocess.run(
                [*argv, *([mirror] if mirror else [])], capture_output=True, text=True, timeout=800, check=False
            )
            assert done.returncode == 0, f"debootstrap failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            staged.rename(tree)
    return tree


def leader_of(nspawn: int) -> int | None:
    """The first process inside: the child that is number 1 in a pid namespace of its own."""
    for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
        status = Path(f"/proc/{child}/status").read_text()
        numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
        if len(numbers) > 1 and numbers[-1] == "1":
            return int(child)
    return None


@contextlib.contextmanager
def own_cgroups(name: str) -> Iterator[list[str]]:
    """A cgroup in each hierarchy that systemd uses (v2, and v1's named one), removed afterwards: systemd-nspawn
    makes its own below those it is started in. Yields their `cgroup.procs`."""
    lines = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    mounts = [where for _, where, kind, flags, *_ in lines if kind == "cgroup2" or "name=systemd" in flags]
    made = [Path(mount, name) for mount in mounts]
    try:
        for path in made:
            path.mkdir()
        yield [str(path / "cgroup.procs") for path in made]
    finally:
        for path in made:
            for directory, _, _ in os.walk(path, topdown=False):
                with contextlib.suppress(OSError):
                    Path(directory).rmdir()


@contextlib.contextmanager
def booted_machine(
    console: Path, binds: Sequence[Path | str] = (), make_tree: Callable[[], Path] = root_tree
) -> Iterator[Machine]:
    """`binds`: paths of this machine that are visible inside, read-only, at the same place."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if missing := [command for command in NEEDED if shutil.which(command) is None]:
        pytest.skip(f"needs {', '.join(missing)} (apt-get install debootstrap systemd-container util-linux)")
    tree = make_tree()
    name = f"hactl-test-{uuid.uuid4().hex[:8]}"
    # With this process the container ends, however it ends.
    argv = ["setpriv", "--pdeathsig", "KILL", "systemd-nspawn", "--quiet", f"--machine={name}"]
    argv += [f"--directory={tree}", "--volatile=overlay", "--private-network", "--register=no", "--keep-unit"]
    argv += [*(f"--bind-ro={path}" for path in binds), "--console=pipe", "--boot"]
    with own_cgroups(name) as procs:
        enter = "; ".join(f"echo 0 > {path}" for path in procs) + '; exec "$@"'
        with console.open("wb") as output:
            nspawn = subprocess.Popen(
                ["sh", "-c", enter, "sh", *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        with boot(nspawn, console) as machine:
            yield machine


@contextlib.contextmanager
def boot(nspawn: subprocess.Popen[bytes], console: Path) -> Iterator[Machine]:
    """Wait until the container has booted; kill it in the end."""
    leader: int | None = None

    def booted() -> bool:
        nonlocal leader
        assert nspawn.poll() is None, f"systemd-nspawn ended:\n{console.read_text()}"
        leader = leader or leader_of(nspawn.pid)
        if leader is None or not Path(f"/proc/{leader}/root/run/dbus/system_bus_socket").exists():
            return False
        return Machine(leader).run("systemctl", "is-system-running").strip() in ("running", "degraded")

    try:
        until(booted)
        assert leader is not None
        yield Machine(leader)
    finally:
        if leader is not None and nspawn.poll() is None:
            os.kill(leader, 9)
        try:
            nspawn.wait(timeout=20)
        except subprocess.TimeoutExpired:
            nspawn.kill()
            nspawn.wait()
