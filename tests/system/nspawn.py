"""A machine with a real systemd, thrown away after the tests: its changes are kept in memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support import nspawn
from tests.support.nspawn import until

__all__ = ["Machine", "booted_machine", "root_tree", "until"]

SUITE = "bookworm"


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
        done = nspawn.inside(self.leader, argv)
        return done.stdout + done.stderr

    def unit(self, name: str, text: str) -> None:
        """Install a unit."""
        (self.root / "run/systemd/system").mkdir(parents=True, exist_ok=True)
        (self.root / "run/systemd/system" / name).write_text(text)
        self.run("systemctl", "daemon-reload")


def root_tree(name: str = "systemd", packages: Sequence[str] = ()) -> Path:
    """The root tree of this name, with these packages beside systemd; made if it is not there yet."""
    return nspawn.root_tree(f"{SUITE}-{name}", SUITE, ["systemd", "dbus", "systemd-sysv", *packages])


@contextlib.contextmanager
def booted_machine(
    console: Path, binds: Sequence[Path | str] = (), make_tree: Callable[[], Path] = root_tree
) -> Iterator[Machine]:
    """`binds`: paths of this machine that are visible inside, read-only, at the same place."""
    nspawn.require()
    tree = make_tree()
    name = f"hactl-test-{uuid.uuid4().hex[:8]}"
    argv = ["systemd-nspawn", "--quiet", f"--machine={name}", f"--directory={tree}", "--volatile=overlay"]
    argv += ["--private-network", "--register=no", "--keep-unit"]
    argv += [*(f"--bind-ro={path}" for path in binds), "--console=pipe", "--boot"]
    groups = nspawn.make_cgroups(name)
    try:
        with boot(nspawn.start(argv, [group / "cgroup.procs" for group in groups], console), console) as machine:
            yield machine
    finally:
        nspawn.remove_cgroups(groups)


@contextlib.contextmanager
def boot(process: subprocess.Popen[bytes], console: Path) -> Iterator[Machine]:
    """Wait until the container has booted; kill it in the end."""
    leader: int | None = None

    def booted() -> bool:
        nonlocal leader
        assert process.poll() is None, f"systemd-nspawn ended:\n{console.read_text()}"
        leader = leader or nspawn.leader_of(process.pid)
        return leader is not None and nspawn.is_up(leader)

    try:
        until(booted)
        assert leader is not None
        yield Machine(leader)
    finally:
        if leader is not None and process.poll() is None:
            os.kill(leader, 9)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
