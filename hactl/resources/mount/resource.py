"""Kind `mount`: a file system.

Start: wait for the device, see that nothing here uses it, check it, mount it, see it mounted. Stop: end what uses it,
unmount it, see that nothing here has it any more (fencing/linux/unmount.py). A file system that went read-only by
itself, that was shut down, or that does not answer has failed. No test file is written into it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import structlog

from fencing.linux import cgroup, mounts
from fencing.linux.unmount import Outcome, Target, Way, in_use, mounts_of, unmount
from hactl.linux.aside import aside
from hactl.linux.run import run
from hactl.model.events import Warned
from hactl.model.resources import MountSpec
from hactl.resources.base import NodeContext, Observation, ResourceError
from hactl.resources.mount import check, device, here
from hactl.resources.mount.events import MountEvents

log = structlog.get_logger(__name__)

# Of a start's timeout, how long the device may take to appear; the rest is for check and mount.
_APPEAR_SHARE = 0.5
# Of a stop's timeout: between SIGTERM and SIGKILL to what uses it, and for all of it.
_TERM_SHARE, _STOP_SHARE = 0.3, 0.9
_LONGEST_TERM_S = 10.0
_KILL_S = 5.0
_LOOK_S = 2.0
# Without an event: a file system that becomes read-only by an error tells nobody.
_LOOK_AGAIN_S = 3.0
# A file system's own words for having stopped to write (ext4).
_BROKEN = {"shutdown": "was shut down", "emergency_ro": "has become read-only because of an error"}

Report = Callable[[Observation], None]
T = TypeVar("T")


class Mount:
    """One file system."""

    def __init__(self, spec: MountSpec, context: NodeContext, group: str = "") -> None:
        self.spec, self._context = spec, context
        self._options = spec.options
        self._name = f"{group}/{spec.name}" if group else spec.name
        self._directory = self._options.directory
        # Where the device was found; else where it should be.
        self._device = device.path_of(self._options)
        self._wanted: bool | None = None
        self._last: Observation | None = None
        self._unmounting: asyncio.Future[Outcome] | None = None
        self._errors = 0

    async def start(self, env: Mapping[str, str]) -> None:
        """Mount it."""
        self._wanted = False
        if self._unmounting is not None and not self._unmounting.done():
            raise ResourceError(f"{self._directory}: an earlier unmount still hangs in the kernel")
        if self._options.on_block_device:
            within_s = self.spec.start_timeout_ms / 1000 * _APPEAR_SHARE
            self._device = await device.appears(self._options, within_s)
        if not await self._aside(self._already_mounted):
            await self._mount()
        self._errors = await self._aside(self._count_errors)
        self._last, self._wanted = Observation("running"), True

    async def stop(self) -> None:
        """Unmount it: what uses it is asked to end, then killed."""
        within_s = self.spec.stop_timeout_ms / 1000 * _STOP_SHARE
        term_s = min(self.spec.stop_timeout_ms / 1000 * _TERM_SHARE, _LONGEST_TERM_S)
        await self._unmount(Way(within_s, term_s))

    async def kill(self) -> None:
        """Unmount it as fast as can be: what uses it is killed, and it is cut off where it does not write back its data
        at once."""
        await self._unmount(Way(_KILL_S, hurry=True))

    async def probe(self) -> Observation:
        """Whether it is mounted where it should be, by the kernel's table alone: no disk is asked."""
        return await self._aside(self._look)

    async def monitor(self) -> Observation:
        """Probe, and ask it for its space and its top directory."""
        seen = await self.probe()
        if seen.health != "running":
            return seen
        try:
            async with asyncio.timeout(self.spec.monitor_timeout_ms / 1000 * 0.9):
                return await self._aside(self._ask)
        except TimeoutError:
            return Observation("failed", f"{self._directory} does not answer: the storage hangs", certain=False)

    async def ready(self) -> str:
        """Whether the device is there, and the kernel and the programs that it takes."""
        async with asyncio.timeout(_LOOK_S):
            return await aside(f"ready {self._name}", here.unready, self._options)

    async def watch(self, report: Report) -> None:
        """Report at once when it is unmounted or remounted; and soon when it has become read-only."""
        if self._wanted is None:
            self._wanted = True  # mounted by an earlier daemon
            self._errors = await self._aside(self._count_errors)
        with MountEvents() as events:
            while True:
                await self._compare(report)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_AGAIN_S):
                        await events.changed()

    def guard_steps(self) -> tuple[dict[str, Any], ...]:
        """Kill what uses it, and unmount it."""
        step = {"kind": "mount", "directory": self._directory, "source": self._source, "device": self._device or None}
        return (step,)

    # --- looking

    @property
    def _source(self) -> str:
        return self._device or self._options.device

    @property
    def _target(self) -> Target:
        return Target(self._directory, self._source, self._device)

    def _look(self) -> Observation:
        seen = mounts.read()
        ours = mounts_of(seen, self._target)
        there = mounts.top(seen, self._directory)
        if there is not None and there in ours:
            return self._state(there)
        if ours:
            return Observation("failed", f"{self._source} is mounted on {ours[0].point}, not on {self._directory}")
        if self._device and self._still_lives():
            return Observation(
                "failed", f"{self._device} is still in use, though it is not mounted here: {self._whose()}"
            )
        return Observation("stopped", "" if there is None else f"{there.source} is mounted on {self._directory}")

    def _state(self, there: mounts.Mount) -> Observation:
        broken = next((words for option, words in _BROKEN.items() if option in there.super_options), "")
        if broken:
            return Observation("failed", f"the file system on {self._directory} {broken}: see `dmesg`")
        if not self._options.read_only and "ro" in (*there.super_options, *there.options):
            return Observation(
                "failed", f"{self._directory} is read-only: by an error (`dmesg`), or by a `mount -o remount`"
            )
        return Observation("running")

    def _still_lives(self) -> bool:
        number = mounts.block_number(self._device)
        kinds = (self._options.type,) if self._options.type else ("ext4", "xfs", "f2fs")
        return any(mounts.lives(kind, number) for kind in kinds if kind)

    def _whose(self) -> str:
        number = mounts.block_number(self._device)
        for pid, _ in mounts.namespaces():
            with contextlib.suppress(OSError):
                if any(mounts.is_of(mount, number) for mount in mounts.read(pid)):
                    return f"it is mounted in the mount namespace of process {pid}"
        return "by files of a lazy unmount that are still open"

    def _ask(self) -> Observation:
        """Its space, and its top directory. May hang."""
        try:
            space = os.statvfs(self._directory)
            with os.scandir(self._directory) as entries:
                next(entries, None)
        except OSError as error:
            return Observation("failed", f"{self._directory}: {error.strerror}")
        full = "" if self._options.read_only else _full(space)
        return Observation("running", warned=Warned("space", f"{self._directory} has no {full} left" if full else ""))

    def _count_errors(self) -> int:
        """How many errors the file system has found in itself, where it counts them (ext4)."""
        name = mounts.device_name(mounts.block_number(self._device)) if self._device else ""
        try:
            return int(Path(f"/sys/fs/ext4/{name}/errors_count").read_text()) if name else 0
        except (OSError, ValueError):
            return 0

    async def _compare(self, report: Report) -> None:
        seen = await self.probe()
        if not self._wanted:
            return
        if seen.health == "stopped":
            seen = Observation("stopped", seen.detail or f"{self._directory} was unmounted by something else")
        if seen != self._last and (seen.health != "running" or self._last is not None):
            report(seen)
        self._last = seen
        errors = await self._aside(self._count_errors)
        if errors > self._errors:
            self._errors = errors
            text = (
                f"the file system on {self._directory} has found {errors} errors in itself: see `dmesg`, plan a check"
            )
            report(Observation(seen.health, warned=Warned("errors", text)))

    # --- mounting

    def _already_mounted(self) -> bool:
        """Whether it is mounted as it should be. Raises ResourceError when it must not be mounted now."""
        seen = self._look()
        if seen.health == "running":
            return True
        if seen.health == "failed":
            raise ResourceError(seen.detail)
        if (there := mounts.top(mounts.read(), self._directory)) is not None:
            raise ResourceError(f"{there.source} is mounted on {self._directory}: `umount {self._directory}`")
        for own in (self._context.state_dir, self._context.cgroup_root or ""):
            if f"{own}/".startswith(f"{self._directory}/"):
                raise ResourceError(f"{self._directory} would hide {own}, which hactl needs")
        if self._device and (problem := in_use(self._target)):
            raise ResourceError(problem)
        return False

    async def _mount(self) -> None:
        kind = await self._kind()
        await self._aside(self._make_mount_point)
        if self._device:
            await self._check(kind)
        await self._mount_now(kind)

    async def _mount_now(self, kind: str) -> None:
        options = [f"-o{','.join(self._options.options)}"] if self._options.options else []
        argv = ["mount", "-t", kind, *options, "--", self._source, self._directory]
        done = await run(argv, timeout_s=self.spec.start_timeout_ms / 1000, env=device.ENVIRONMENT)
        if not done.ok:
            raise ResourceError(f"{self._source} on {self._directory}: mount {done.describe()}")
        seen = await self.probe()
        if seen.health != "running":
            raise ResourceError(f"mounted, but: {seen.detail or 'it is not there'}")

    async def _kind(self) -> str:
        """The kind of file system; that which is named must be on the device."""
        named = here.kind_of(self._options)
        if not self._device:
            return named or "nfs"
        found = await device.file_system_on(self._device)
        if not found:
            raise ResourceError(
                f"{self._device} has no file system that blkid knows: `mkfs` it, or is it another device?"
            )
        if named not in (None, found) and {named, found} - {"ext2", "ext3", "ext4"}:
            raise ResourceError(f"{self._device} has the file system {found}, not {named}: set `type: {found}`")
        return named or found

    async def _check(self, kind: str, *, replayed: bool = False) -> None:
        argv = check.command(kind, "never" if self._options.read_only else self._options.fsck, self._device)
        if not argv:
            return
        done = await run(argv, timeout_s=self.spec.start_timeout_ms / 1000, env=device.ENVIRONMENT)
        verdict = check.verdict(argv, kind, done)
        if verdict.replay and not replayed:
            await self._mount_now(kind)
            await self._unmount(Way(_KILL_S))
            await self._check(kind, replayed=True)
        if verdict.problem:
            raise ResourceError(verdict.problem)
        if verdict.note:
            log.warning("mount.repaired", resource=self._name, what=verdict.note)

    def _make_mount_point(self) -> None:
        directory = Path(self._directory)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            hides = any(os.scandir(directory))
        except OSError as error:
            raise ResourceError(f"the mount point {directory}: {error.strerror}") from None
        if hides:
            log.warning("mount.hides_files", resource=self._name, directory=self._directory)

    # --- unmounting

    async def _unmount(self, way: Way) -> None:
        self._wanted = False
        if self._unmounting is not None:
            # One that was given up: two at a time would be in each other's way.
            await asyncio.wait([self._unmounting])
        given_up = threading.Event()
        spare = await self._aside(self._spared)
        way = way._replace(spare=spare, given_up=given_up.is_set)
        self._unmounting = asyncio.ensure_future(aside(f"unmount {self._name}", unmount, self._target, way))
        try:
            outcome = await asyncio.shield(self._unmounting)
        except asyncio.CancelledError:
            given_up.set()
            raise
        self._unmounting = None
        for note in outcome.notes:
            log.warning("mount.unmounting", resource=self._name, directory=self._directory, what=note)
        if outcome.problem:
            raise ResourceError(f"{self._name} is not unmounted: {outcome.problem}")
        self._last = None

    def _spared(self) -> frozenset[int]:
        """hactl's own processes: the daemon, what started it, its guard."""
        own = {os.getpid()}
        pid = os.getppid()
        while pid > 1:
            own.add(pid)
            pid = _parent(pid)
        if self._context.cgroup_root is not None:
            own |= set(cgroup.pids(Path(self._context.cgroup_root).parent / "guard"))
        return frozenset(own)

    async def _aside(self, call: Callable[..., T], *args: object) -> T:
        return await aside(self._name, call, *args)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _full(space: os.statvfs_result) -> str:
    if space.f_blocks and not space.f_bavail:
        return "space"
    return "inodes" if space.f_files and not space.f_favail else ""
