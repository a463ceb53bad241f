"""Kind `manifest`: a file that is in a directory while this node owns it (podmaster).

Options: `directory`; `source` (a path) or `content`; `name` (else the source's name, else the resource's with
`.yaml`). Made for the kubelet's static pods: it runs the pods of the files in its directory.

The file is staged in the same directory under a hidden name and renamed. The kubelet overlooks names that
begin with a dot, in its inotify events as well as in its listing of the directory (Kubernetes,
pkg/kubelet/config/file_linux.go and file.go, which globs `[^.]*`), so it never sees half a file.

A file of its name with another content, on a node where the group is not (`kubeadm upgrade` writes one), is moved
aside to such a name, so that nobody's work is lost.

That the file is gone is all that is known after a stop: the kubelet stops the pod in its own time, up to the
pod's grace period. A pod that must never run twice has to stop quickly, or needs an election of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import structlog

from fencing.linux.trusted import untrusted_directory
from hactl.linux import inotify
from hactl.linux.aside import aside
from hactl.linux.atomic_write import remove_staged, staged
from hactl.linux.errors import OperationError
from hactl.linux.inotify import Inotify
from hactl.linux.regular_file import read_regular
from hactl.model.resources import ManifestSpec
from hactl.resources.base import NodeContext, Observation, ResourceError

log = structlog.get_logger(__name__)

_ASIDE = ".hactl-aside-"
_WATCHED = (inotify.CLOSE_WRITE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.CREATE | inotify.DELETE) | (
    inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.ATTRIB
)
# Without inotify (no instance to be had, or the directory is gone), and for events that it misses.
_LOOK_AGAIN_S = 5.0
_MISSING_LOOK_S = 1.0

# How long its directory and its source may take to answer.
_LOOK_S = 2.0

Report = Callable[[Observation], None]
T = TypeVar("T")


class Manifest:
    """One file."""

    def __init__(self, spec: ManifestSpec, context: NodeContext) -> None:
        """Raises ResourceError when the options are wrong."""
        self.spec = spec
        self.directory = Path(spec.options.directory)
        self._source = spec.options.source
        if (self._source is None) == (spec.options.content is None):
            raise ResourceError(f"{spec.name}: give either `source` or `content`")
        default = Path(self._source).name if self._source is not None else f"{spec.name}.yaml"
        name = default if spec.options.name is None else spec.options.name
        if "/" in name or name.startswith("."):
            raise ResourceError(f"{spec.name}: name {name!r} must not contain a slash or begin with a dot")
        self.path = self.directory / name
        # The content to have there while the group is here. None: not yet known, an earlier daemon may have put it.
        self._content: bytes | None = None
        self._wanted: bool | None = None
        self._renaming = threading.Lock()
        self._problem = ""

    async def start(self, env: Mapping[str, str]) -> None:
        """Place the file."""
        self._content = await self._aside(self._read_source)
        self._wanted = True
        await self._aside(self._place, self._content)

    async def stop(self) -> None:
        """Remove the file."""
        self._wanted = False
        await self._aside(self._remove)

    async def kill(self) -> None:
        """As `stop`."""
        await self.stop()

    async def probe(self) -> Observation:
        """Whether the file is there, as it should be."""
        return await self._aside(self._probe)

    def _probe(self) -> Observation:
        content = self._read_placed()
        if content is None:
            return Observation("stopped")
        try:
            same = content == (self._content if self._content is not None else self._read_source())
        except OperationError as error:
            return Observation("failed", str(error))
        return Observation("running") if same else Observation("failed", f"{self.path} has another content")

    async def monitor(self) -> Observation:
        """As `probe`."""
        return await self.probe()

    async def ready(self) -> str:
        """Whether its directory is there and can be written, and its source be read."""
        try:
            async with asyncio.timeout(_LOOK_S):
                return await self._aside(self._unusable)
        except TimeoutError:
            return f"{self.spec.name}: the file system of {self._source or self.directory} does not answer"

    async def watch(self, report: Report) -> None:
        """Put the file back when it is removed or changed, and report it."""
        if self._wanted is None:
            self._wanted = await self._aside(os.path.lexists, self.path)
            if not self._wanted:
                report(Observation("stopped", f"{self.path} is not there"))
        while True:
            try:
                await self._aside(self.directory.stat)  # the loop is not held up by a directory that does not answer
                with Inotify(str(self.directory), _WATCHED) as changes:
                    await self._repair(report)
                    await self._repair_on_change(changes, report)
            except OSError as error:
                # The directory is gone, or there are no more inotify instances: look by and by.
                log.info("manifest.not_watched", resource=self.spec.name, error=str(error))
                await self._repair(report)
                await asyncio.sleep(_MISSING_LOOK_S)

    def guard_steps(self) -> tuple[dict[str, Any], ...]:
        """Remove the file."""
        return ({"kind": "unlink", "path": os.path.normpath(self.path)},)

    async def _repair_on_change(self, changes: Inotify, report: Report) -> None:
        """Until the directory is another than the one that is watched."""
        watched = await self._aside(self.directory.stat)
        while _same(watched, await self._aside(self.directory.stat)):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await changes.changed()
            await self._repair(report)

    async def _repair(self, report: Report) -> None:
        if not self._wanted:
            return
        try:
            if self._content is None:
                self._content = await self._aside(self._read_source)
            content = await self._aside(self._read_placed)
            if content == self._content:
                self._problem = ""
                return
            await self._aside(self._place, self._content)
        except OperationError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                report(Observation("failed", self._problem))
            return
        self._problem = ""
        change = "removed" if content is None else "changed"
        log.warning("manifest.put_right", resource=self.spec.name, path=str(self.path), was=change)
        report(Observation("running", put_right=f"{self.path} was {change} by something else and has been put back"))

    async def _aside(self, call: Callable[..., T], *args: object) -> T:
        """The result of `call`, from a thread: a disk may be slow, and the server of a file system gone."""
        return await aside(str(self.path), call, *args)

    def _read_placed(self) -> bytes | None:
        try:
            return read_regular(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.EFBIG):  # a pipe, a file of any size: not the one put there
                return b""
            raise ResourceError(f"cannot read {self.path}: {error.strerror}") from None

    def _read_source(self) -> bytes:
        if self._source is None:
            return (self.spec.options.content or "").encode()
        try:
            return read_regular(self._source)
        except OSError as error:
            raise ResourceError(f"{self.spec.name}: cannot read source {self._source}: {error.strerror}") from None

    def _place(self, content: bytes) -> None:
        """Stage, sync, rename, sync. On a thread: a disk may be slow."""
        others = untrusted_directory(str(self.directory)) if self.directory.is_dir() else ""
        if others:
            raise ResourceError(f"{self.spec.name}: nothing is put into {self.directory}: {others}")
        try:
            # Not where it was stopped meanwhile (the caller that waited for this thread was cancelled).
            with staged(self.path, content) as place, self._renaming:
                if self._wanted:
                    place()
        except OSError as error:
            raise ResourceError(f"cannot place {self.path}: {error.strerror}") from None

    def _unusable(self) -> str:
        try:
            self._read_source()
        except OperationError as error:
            return str(error)
        if not self.directory.is_dir():
            return f"{self.spec.name}: there is no directory {self.directory}"
        if not os.access(self.directory, os.W_OK):
            return f"{self.spec.name}: {self.directory} cannot be written"
        others = untrusted_directory(str(self.directory))
        return f"{self.spec.name}: nothing would be put into {self.directory}: {others}" if others else ""

    def _is_ours(self) -> bool:
        """Whether the file is the one that was put there, or there is none. In doubt it counts as ours."""
        try:
            content = self._read_placed()
            return content is None or content in (self._content, self._read_source())
        except OperationError:
            return True

    def _remove(self) -> None:
        """Remove the file, and the staged ones of a daemon that was killed meanwhile. On a thread."""
        try:
            with self._renaming:
                if self._is_ours():
                    self.path.unlink(missing_ok=True)
                else:
                    aside = self.directory / f"{_ASIDE}{self.path.name}"
                    self.path.replace(aside)
                    log.warning("manifest.moved_aside", resource=self.spec.name, path=str(self.path), to=str(aside))
            remove_staged(self.path)
            if self.directory.exists():
                _sync_directory(self.directory)
        except NotADirectoryError:
            return
        except OSError as error:
            raise ResourceError(f"cannot remove {self.path}: {error.strerror}") from None


def check_options(spec: ManifestSpec) -> list[str]:
    """The problems of the options on this node."""
    try:
        problem = Manifest(spec, NodeContext("check", "/nonexistent", None))._unusable()
    except OperationError as error:
        return [str(error)]
    return [problem] if problem else []


def _same(a: os.stat_result, b: os.stat_result) -> bool:
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
