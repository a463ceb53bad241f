"""A real systemd, booted by systemd-nspawn from a minimal Debian.

The root trees are made once by debootstrap, in $HACTL_CACHE, else ~/.cache/hactl; nothing writes to them afterwards.
$HACTL_DEBIAN_MIRROR names another mirror.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.package import cache

NEEDED = ("debootstrap", "systemd-nspawn", "setpriv")
BOOT_S = 60.0


def require() -> None:
    """Skip the test where no container can be booted."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if missing := [command for command in NEEDED if shutil.which(command) is None]:
        pytest.skip(f"needs {', '.join(missing)} (apt-get install debootstrap systemd-container util-linux)")


def until(condition: Callable[[], object], deadline_s: float = BOOT_S, goal: str = "not in time") -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, goal
        time.sleep(0.05)


def root_tree(name: str, suite: str, packages: Sequence[str], finish: Callable[[Path], None] = lambda _: None) -> Path:
    """The root tree of this name: a Debian `suite` with `packages`, then what `finish` does to it. Made if it is not
    there yet."""
    tree = cache() / name
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            staged = cache() / f"{name}.new"
            shutil.rmtree(staged, ignore_errors=True)
            argv = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, str(staged)]
            mirror = os.environ.get("HACTL_DEBIAN_MIRROR")
            must([*argv, *([mirror] if mirror else [])], timeout_s=800)
            finish(staged)
            staged.rename(tree)
    return tree


def must(argv: Sequence[str], timeout_s: float) -> str:
    """Run a command that may not fail; returns what it printed."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, f"{' '.join(argv)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def start(argv: Sequence[str], procs: Sequence[Path], console: Path) -> subprocess.Popen[bytes]:
    """Start systemd-nspawn, by `argv`, in the cgroups of these `cgroup.procs`. The container ends with the calling
    thread, however that ends."""
    enter = "".join(f"echo 0 > {path}; " for path in procs) + 'exec setpriv --pdeathsig KILL "$@"'
    with console.open("ab") as output:
        return subprocess.Popen(
            ["sh", "-c", enter, "sh", *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def inside(leader: int, argv: Sequence[str], timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a command in the container whose first process this is."""
    # nsenter's own child would stop nsenter when systemd-shutdown stops all processes; then it would not be reaped, and
    # the container could not end. A shell takes no notice.
    into = ["nsenter", "--target", str(leader), "--all", "--no-fork", "--", "sh", "-c", '"$@"; exit $?', "sh"]
    nothing = subprocess.DEVNULL
    return subprocess.run([*into, *argv], stdin=nothing, capture_output=True, text=True, timeout=timeout_s, check=False)


def is_up(leader: int) -> bool:
    """Whether all that belongs to its boot has been started, or has failed."""
    if not Path(f"/proc/{leader}/root/run/dbus/system_bus_socket").exists():
        return False
    return inside(leader, ["systemctl", "is-system-running"]).stdout.strip() in ("running", "degraded")


def leader_of(nspawn: int) -> int | None:
    """The first process inside: the child that is number 1 in a pid namespace of its own."""
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
            status = Path(f"/proc/{child}/status").read_text()
            numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
            if len(numbers) > 1 and numbers[-1] == "1":
                return int(child)
    return None


def make_cgroups(name: str) -> list[Path]:
    """A cgroup of this name in each hierarchy that systemd uses (v2, and v1's named one): systemd-nspawn makes its own
    below those in which it is started."""
    lines = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    mounts = [where for _, where, kind, flags, *_ in lines if kind == "cgroup2" or "name=systemd" in flags]
    groups = [Path(mount, name) for mount in mounts]
    for group in groups:
        group.mkdir(parents=True, exist_ok=True)
    return groups


def remove_cgroups(groups: Sequence[Path]) -> None:
    """Remove them, and those below."""
    for group in groups:
        for directory, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()
