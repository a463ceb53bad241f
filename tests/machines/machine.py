"""One machine: a disk, a power supply, a link to the switch; a real systemd boots on it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hactl.lab import netns, network
from hactl.lab.cgroup import Cgroup
from hactl.lab.spec import LabSpec, NodeName
from hactl.lab.system import boottime_ms, wait_until
from tests.machines import debian
from tests.support import nspawn

# systemd-nspawn's exit status when the machine has asked for a reboot.
_REBOOT = 133
BOOT_S = 120.0
# The root file system is mounted where nobody else sees it, and is gone with the machine's last process.
_MOUNT = (
    'mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root" && disk=$2 && shift 2 && '
    'exec systemd-nspawn --directory="$disk/root" "$@"'
)


class CommandError(AssertionError):
    """A command that was typed on a machine failed: what it was, and what it said."""


class Machine:
    """Off at first. Its disk keeps what is written to it over reboots and power cuts, until `reinstall`."""

    def __init__(self, spec: LabSpec, station: NodeName, disk: Path, starter: ThreadPoolExecutor) -> None:
        """`starter`: has the one thread that starts machines; they end with it."""
        self.name, self.address = station.name, station.address
        self.console = spec.path / f"{station.name}.console"
        self.typed: list[str] = []
        self.power: list[tuple[float, str]] = []  # (ms on CLOCK_BOOTTIME, "on", "cut", "off", "reboot")
        self.machine_id = uuid.uuid4().hex
        self.life = 0
        self._spec, self._station, self._disk, self._starter = spec, station, disk, starter
        self._group = Cgroup(Path(spec.cgroup) / station.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._leader: int | None = None
        self._plugged = True
        self._lock = threading.RLock()
        self._new_disk()

    # Power

    def power_on(self) -> None:
        """Returns at once. No error if it is on."""
        with self._lock:
            if self._process is None:
                self._start()

    def cut(self, done: Callable[[], None] = lambda: None) -> None:
        """Cut the power; `done` is called when nothing of it acts any more, which is before all is cleared away. No
        error if it is off."""
        with self._lock:
            if self._process is not None:
                network.cut(self._spec, self._station)
                self._group.halt()
                self.power.append((boottime_ms(), "cut"))
            done()
            if self._process is not None:
                self._clear()

    def reboot(self) -> None:
        """Type `systemctl reboot`, and wait until the machine is up again."""
        life = self.life
        self.type("systemctl reboot")
        wait_until(lambda: self.life > life, deadline_s=BOOT_S + 60, goal=f"{self.name} reboots")
        self.await_up()

    def poweroff(self) -> None:
        """Type `systemctl poweroff`, and wait until the machine is off."""
        self.type("systemctl poweroff")
        self.await_off()

    def await_up(self, deadline_s: float = BOOT_S) -> None:
        """Wait until all that belongs to its boot has been started, or has failed."""
        wait_until(self.is_up, deadline_s=deadline_s, goal=f"{self.name} has booted (see {self.console})")

    def await_off(self, deadline_s: float = BOOT_S + 60) -> None:
        """Wait until it is off."""
        wait_until(lambda: not self.is_on, deadline_s=deadline_s, goal=f"{self.name} is off")

    @property
    def is_on(self) -> bool:
        """Whether it has power and has not ended by itself."""
        return self._process is not None

    def is_up(self) -> bool:
        """Whether it has booted."""
        leader = self.leader
        return leader is not None and nspawn.is_up(leader)

    @property
    def leader(self) -> int | None:
        """Its systemd, as a pid of this machine's."""
        process = self._process
        if process is not None and self._leader is None:
            self._leader = nspawn.leader_of(process.pid)
        return self._leader if process is not None else None

    def freeze(self, frozen: bool) -> None:
        """Stop everything on it from running, or let it go on."""
        self._group.freeze(frozen)

    # The cable

    def unplug(self) -> None:
        """Pull the network cable; also of a machine that is off."""
        self._plugged = False
        if self.is_on:
            network.cut(self._spec, self._station)

    def plug(self) -> None:
        """Put it back."""
        self._plugged = True
        if self.is_on:
            network.restore(self._spec, self._station)

    # What somebody does there

    def type(self, command: str, *, ok: bool = True, timeout_s: float = 300) -> str:
        """Type a command in a shell of root's, and return what it printed. `ok`: it must succeed, else it must fail."""
        self.typed.append(command)
        done = self.run("bash", "-lc", f"cd; {command}", timeout_s=timeout_s)
        if (done.returncode == 0) != ok:
            raise CommandError(f"{self.name}# {command}\nexit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def run(self, *argv: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command there that belongs to the test, not to what an operator types."""
        leader = self.leader
        assert leader is not None, f"{self.name} is off"
        clean = ["env", "-i", "HOME=/root", "TERM=dumb", "LANG=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        return nspawn.inside(leader, [*clean, *argv], timeout_s)

    def look(self, *argv: str) -> str:
        """What a command prints there; "" when the machine is off."""
        return self.run(*argv).stdout.strip() if self.leader is not None else ""

    def path(self, place: str) -> Path:
        """A file there, as a path here."""
        leader = self.leader
        root = Path(f"/proc/{leader}/root") if leader is not None else self._disk / "upper"
        return root / place.lstrip("/")

    def write(self, place: str, text: str, mode: int = 0o644) -> None:
        """Write a file there, or on its disk while it is off."""
        file = self.path(place)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def copy(self, source: Path, place: str) -> None:
        """Bring a file there."""
        shutil.copy(source, self.path(place))

    def answers(self) -> bool:
        """Whether somebody can log in."""
        return self.look("systemctl", "is-active", "ssh") == "active"

    # Its disk

    def erase(self, place: str) -> None:
        """A directory that the machine, which is off, has made since it was installed is not on its disk any more."""
        assert not self.is_on, f"{self.name} is on"
        shutil.rmtree(self._disk / "upper" / place.lstrip("/"))

    def reinstall(self, machine_id: str = "") -> None:
        """Give the machine, which is off, an empty disk, and install Debian on it. `machine_id`: that of the image from
        which it was cloned."""
        assert not self.is_on, f"{self.name} is on"
        self.machine_id = machine_id or uuid.uuid4().hex
        self._new_disk()

    def _new_disk(self) -> None:
        shutil.rmtree(self._disk, ignore_errors=True)
        for part in ("upper", "work", "root"):
            (self._disk / part).mkdir(parents=True)
        debian.prepare(self._disk / "upper", self.name, self.address, self.machine_id)

    # Inside

    def _start(self) -> None:
        """A boot. Called with the lock held."""
        self.life += 1
        self._leader = None
        network.plug_in(self._spec, self._station, self.life)
        if not self._plugged:
            network.cut(self._spec, self._station)
        groups = nspawn.make_cgroups(f"hactl-lab/{self._spec.name}/{self.name}")
        argv = ["env", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network"]
        argv += ["unshare", "--mount", "--propagation", "private", "sh", "-c", _MOUNT, "sh"]
        argv += [str(debian.tree()), str(self._disk)]
        argv += ["--quiet", f"--machine={self.name}-{self._spec.name}", "--register=no", "--keep-unit"]
        argv += [f"--network-namespace-path={netns.path(self._spec.namespace(self.name))}"]
        argv += ["--capability=CAP_NET_ADMIN", "--console=pipe", "--boot"]
        procs = [group / "cgroup.procs" for group in groups]
        self._process = self._starter.submit(nspawn.start, argv, procs, self.console).result()
        self.power.append((boottime_ms(), "on"))
        threading.Thread(target=self._watch, args=(self._process,), daemon=True).start()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """A machine that ends by itself is off, or boots again."""
        status = process.wait()
        with self._lock:
            if self._process is process:
                self.power.append((boottime_ms(), "reboot" if status == _REBOOT else "off"))
                self._clear()
                if status == _REBOOT:
                    self._start()

    def _clear(self) -> None:
        """Remove what is left of a life."""
        self._group.kill()
        assert self._process is not None
        self._process.wait()
        network.detach(self._spec, self._station)
        for directory in sorted(self._group.path.glob("**/"), reverse=True):
            with contextlib.suppress(OSError):
                directory.rmdir()
        self._process = None
