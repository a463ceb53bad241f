"""Kind `manifest`: files that are in a directory while this node owns them: static pods of the kubelet's (podmaster).

Options: `directory`; `source` (a path), `sources` (several) or `content`; `name` (else the source's name, else the
resource's with `.yaml`). The kubelet runs the pods of the files in its directory. All files are checked before one is
put there, and it never sees half a file (`hactl/resources/pods/placed.py`).

A file of its name with another content, on a node where the group is not (`kubeadm upgrade` writes one), is moved
aside to a name that the kubelet overlooks, so that nobody's work is lost.

Without `gone` a stop says no more than that the files are gone: the kubelet stops the pods in its own time, up to their
grace period. With it a stop has succeeded when the pods are seen to have gone, by every check that is given; with
`running` a start, when they are seen to run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import structlog

from fencing.linux.trusted import untrusted_directory
from hactl.linux import inotify
from hactl.linux.aside import aside
from hactl.linux.errors import OperationError
from hactl.linux.inotify import Inotify
from hactl.linux.run import find_command, run, service_environment
from hactl.model.resources import ManifestSpec, PodSight
from hactl.resources.base import NodeContext, Observation, ResourceError
from hactl.resources.pods import seen
from hactl.resources.pods.document import NoPodError, Pod, pod_of
from hactl.resources.pods.placed import PlacedFile, sync_directory

log = structlog.get_logger(__name__)

_WATCHED = (inotify.CLOSE_WRITE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.CREATE | inotify.DELETE) | (
    inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.ATTRIB
)
# Without inotify (no instance to be had, or the directory is gone), and for events that it misses.
_LOOK_AGAIN_S = 5.0
_MISSING_LOOK_S = 1.0
# How long its directory and its source may take to answer.
_LOOK_S = 2.0
# How often it is seen whether a pod has come or gone; the share of the deadline after which the reason is told.
_SEE_AGAIN_S = 0.25
_SHARE = 0.9
_KILLED_S = 10.0
_GUARD_CHECK_MS = 5_000

Report = Callable[[Observation], None]
T = TypeVar("T")


class Manifest:
    """One or more files, and their pods."""

    def __init__(self, spec: ManifestSpec, context: NodeContext) -> None:
        """Raises ResourceError when the options are wrong."""
        self.spec = spec
        options = spec.options
        self.directory = Path(options.directory)
        if [options.source, options.content, options.sources].count(None) != 2:
            raise ResourceError(f"{spec.name}: give one of `source`, `sources` and `content`")
        self.files = [
            PlacedFile(spec.name, self.directory / self._named(source), source, options.content or "")
            for source in options.sources or (options.source,)
        ]
        # The contents to have there while the group is here. None: not yet known, an earlier daemon may have put them.
        self._contents: list[bytes] | None = None
        self._wanted: bool | None = None
        self._renaming = threading.Lock()
        self._problem = ""
        # Which pods they are; those of a source that cannot be read any more are still to be seen to go.
        self._pods: list[Pod] = []

    def _named(self, source: str | None) -> str:
        default = Path(source).name if source is not None else f"{self.spec.name}.yaml"
        name = default if self.spec.options.name is None else self.spec.options.name
        if "/" in name or name.startswith("."):
            raise ResourceError(f"{self.spec.name}: name {name!r} must not contain a slash or begin with a dot")
        return name

    @property
    def path(self) -> Path:
        """Its first file."""
        return self.files[0].path

    async def start(self, env: Mapping[str, str]) -> None:
        """Place the files; return when their pods are seen to run, where that can be seen."""
        self._contents = await self._aside(self._checked)
        self._wanted = True
        await self._aside(self._place, self._contents)
        if self.spec.options.running is not None:
            await self._until(self._not_running, self.spec.start_timeout_ms * _SHARE / 1000)

    async def stop(self) -> None:
        """Remove the files; return when their pods are seen to have gone, where that can be seen."""
        await self._remove_all()
        await self._until(self._not_gone, self.spec.stop_timeout_ms * _SHARE / 1000)

    async def kill(self) -> None:
        """As `stop`; the processes by which a pod is seen are killed."""
        await self._remove_all()
        if self._gone.process is not None:
            await self._aside(seen.kill, self._gone.process)
        await self._until(self._not_gone, _KILLED_S)

    async def probe(self) -> Observation:
        """Whether the files are there, as they should be; where they are not, whether their pods are."""
        found = await self._aside(self._probe)
        if found.health == "stopped" and (why := await self._not_gone()):
            return Observation("failed", f"{self.path} is not there, but {why}")
        return found

    async def monitor(self) -> Observation:
        """As `probe`, and whether the pods run."""
        found = await self._aside(self._probe)
        if found.health == "running" and (why := await self._not_running()):
            return Observation("failed", why, certain=False)
        return found

    async def ready(self) -> str:
        """Whether its directory is there and can be written, its sources are pods, and its checks can be run."""
        try:
            async with asyncio.timeout(_LOOK_S):
                return await self._aside(self._unusable)
        except TimeoutError:
            return f"{self.spec.name}: the file system of {self.files[0].source or self.directory} does not answer"

    async def watch(self, report: Report) -> None:
        """Put a file back when it is removed or changed, and report it."""
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
        """Remove the files; kill the processes by which the pod is seen, and see that it has gone."""
        steps: list[dict[str, Any]] = [{"kind": "unlink", "path": os.path.normpath(file.path)} for file in self.files]
        look = [sys.executable, "-I", "-m", "hactl.resources.pods"]
        gone = self._gone
        command: dict[str, Any] = {"kind": "command", "timeout_ms": _GUARD_CHECK_MS}
        if gone.process is not None:
            verify = [*look, "gone-process", gone.process]
            steps.append(command | {"argv": [*look, "kill", gone.process], "verify": verify})
        if gone.kubelet is not None:
            steps.append(command | {"argv": [*look, "gone-kubelet", gone.kubelet, *self._names()]})
        if gone.command is not None:
            steps.append(command | {"argv": list(gone.command)})
        return tuple(steps)

    @property
    def _gone(self) -> PodSight:
        return self.spec.options.gone or PodSight()

    def _names(self) -> list[str]:
        """The names of the pods. Reads the files where they are not known yet."""
        if not self._pods:
            with contextlib.suppress(OperationError):
                self._checked()
        if not self._pods:
            with contextlib.suppress(OperationError, NoPodError):
                self._pods = [pod_of(content) for file in self.files if (content := file.read()) is not None]
        return [pod.name for pod in self._pods]

    # --- the pods --------------------------------------------------------------------------------------------

    async def _until(self, problem: Callable[[], Awaitable[str]], timeout_s: float) -> None:
        until = asyncio.get_running_loop().time() + timeout_s
        while True:
            try:
                why = await problem()
            except OperationError as error:  # it cannot be found out now
                why = str(error)
            if not why:
                return
            if asyncio.get_running_loop().time() >= until:
                raise ResourceError(f"{self.spec.name}: {why}")
            await asyncio.sleep(_SEE_AGAIN_S)

    async def _not_gone(self) -> str:
        """Why its pods are not known to have gone, or ""."""
        sight = self._gone
        if sight.process is not None and (pids := await self._aside(seen.processes, sight.process)):
            return f"{sight.process} runs: process {', '.join(map(str, pids[:5]))}"
        if sight.kubelet is not None:
            there = await self._ask_kubelet(seen.pods_there, sight.kubelet)
            if there:
                return f"the kubelet has the pod {', '.join(there)}"
        return await self._command("gone", sight)

    async def _not_running(self) -> str:
        """Why its pods are not known to run, or ""."""
        sight = self.spec.options.running or PodSight()
        if sight.process is not None and not await self._aside(seen.processes, sight.process):
            return f"{sight.process} does not run"
        if sight.kubelet is not None:
            there = await self._ask_kubelet(seen.pods_running, sight.kubelet)
            if missing := sorted({pod.name for pod in self._pods} - set(there)):
                return f"the kubelet does not run the pod {', '.join(missing)}"
        return await self._command("running", sight)

    async def _ask_kubelet(self, ask: Callable[[str, list[str]], list[str]], url: str) -> list[str]:
        """Raises ResourceError: it cannot be found out."""
        if not (names := await self._aside(self._names)):
            raise ResourceError(f"{self.spec.name}: its pods have no names: the manifest cannot be read")
        try:
            return await self._aside(ask, url, names)
        except seen.UnseenError as error:
            raise ResourceError(str(error)) from None

    async def _command(self, name: str, sight: PodSight) -> str:
        if sight.command is None:
            return ""
        env = service_environment({"HACTL_RESOURCE": self.spec.name})
        done = await run(sight.command, timeout_s=self.spec.monitor_timeout_ms / 1000, env=env, leaves=False)
        return "" if done.ok else f"`{name}` {done.describe()}"

    # --- the files -------------------------------------------------------------------------------------------

    def _probe(self) -> Observation:
        there = [file.read() for file in self.files]
        if there == [None] * len(there):
            return Observation("stopped")
        for number, (file, content) in enumerate(zip(self.files, there, strict=True)):
            try:
                same = content == (self._contents[number] if self._contents is not None else file.wanted())
            except OperationError as error:
                return Observation("failed", str(error))
            if not same:
                words = "is not there" if content is None else "has another content"
                return Observation("failed", f"{file.path} {words}")
        return Observation("running")

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
            if self._contents is None:
                self._contents = await self._aside(self._checked)
            there = await self._aside(lambda: [file.read() for file in self.files])
            if there == self._contents:
                self._problem = ""
                return
            await self._aside(self._place, self._contents)
        except OperationError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                report(Observation("failed", self._problem))
            return
        self._problem = ""
        for file, before, wanted in zip(self.files, there, self._contents, strict=True):
            if before != wanted:
                change = "removed" if before is None else "changed"
                log.warning("manifest.put_right", resource=self.spec.name, path=str(file.path), was=change)
                words = f"{file.path} was {change} by something else and has been put back"
                report(Observation("running", put_right=words))

    async def _aside(self, call: Callable[..., T], *args: object) -> T:
        """The result of `call`, from a thread: a disk may be slow, and the server of a file system gone."""
        return await aside(str(self.path), call, *args)

    def _checked(self) -> list[bytes]:
        """The contents of all files, each of them a pod's, no two the same pod's."""
        contents, pods = [file.wanted() for file in self.files], list[Pod]()
        for file, content in zip(self.files, contents, strict=True):
            subject = f"{self.spec.name}: {file.source or 'content'}"
            try:
                pod = pod_of(content)
            except NoPodError as error:
                raise ResourceError(f"{subject} {error}") from None
            if pod in pods:
                raise ResourceError(f"{subject} has the pod {pod.name} once more: to the kubelet the two are one pod")
            pods.append(pod)
        self._pods = pods
        return contents

    def _place(self, contents: list[bytes]) -> None:
        """Stage all, then put all there; none where one cannot be. On a thread: a disk may be slow."""
        others = untrusted_directory(str(self.directory)) if self.directory.is_dir() else ""
        if others:
            raise ResourceError(f"{self.spec.name}: nothing is put into {self.directory}: {others}")
        if twin := self._same_pod_elsewhere():
            raise ResourceError(f"{self.spec.name}: {twin}")
        path = self.path
        try:
            with contextlib.ExitStack() as stack:
                places = []
                for file, content in zip(self.files, contents, strict=True):
                    path = file.path
                    places.append(stack.enter_context(file.stage(content)))
                # Not where it was stopped meanwhile (the caller that waited for this thread was cancelled).
                with self._renaming:
                    for place in places if self._wanted else ():
                        place()
        except OSError as error:
            with contextlib.suppress(OSError), self._renaming:
                for file, content in zip(self.files, contents, strict=True):
                    file.remove(content)
            raise ResourceError(f"cannot place {path}: {error.strerror}") from None

    def _same_pod_elsewhere(self) -> str:
        """Another file of the directory with one of its pods; "" for none."""
        own = {file.path.name for file in self.files}
        if not self.directory.is_dir():
            return ""
        for path in self.directory.iterdir():
            if path.name in own or path.name.startswith("."):
                continue
            try:
                other = PlacedFile(self.spec.name, path, None).read()
                pod = pod_of(other or b"")
            except (NoPodError, OperationError):
                continue
            if pod in self._pods:
                return f"{path} has the pod {pod.name}, too: to the kubelet the two are one pod; remove it"
        return ""

    def _unusable(self) -> str:
        try:
            self._checked()
        except OperationError as error:
            return str(error)
        if not self.directory.is_dir():
            return f"{self.spec.name}: there is no directory {self.directory}"
        if not os.access(self.directory, os.W_OK):
            return f"{self.spec.name}: {self.directory} cannot be written"
        others = untrusted_directory(str(self.directory))
        if others:
            return f"{self.spec.name}: nothing would be put into {self.directory}: {others}"
        for sight in (self.spec.options.gone, self.spec.options.running):
            if sight is not None and sight.command is not None and (why := find_command(sight.command[0])):
                return f"{self.spec.name}: {why}"
        twin = self._same_pod_elsewhere()
        return f"{self.spec.name}: {twin}" if twin else ""

    async def _remove_all(self) -> None:
        self._wanted = False
        await self._aside(self._remove)

    def _remove(self) -> None:
        """Remove the files, and the staged ones of a daemon that was killed meanwhile. On a thread."""
        path = self.path
        with contextlib.suppress(OperationError):
            self._names()
        try:
            with self._renaming:
                for number, file in enumerate(self.files):
                    path = file.path
                    file.remove(None if self._contents is None else self._contents[number])
            for file in self.files:
                file.sweep()
            if self.directory.exists():
                sync_directory(self.directory)
        except NotADirectoryError:
            return
        except OSError as error:
            raise ResourceError(f"cannot remove {path}: {error.strerror}") from None


def check_options(spec: ManifestSpec) -> list[str]:
    """The problems of the options on this node."""
    try:
        problem = Manifest(spec, NodeContext("check", "/nonexistent", None))._unusable()
    except OperationError as error:
        return [str(error)]
    return [problem] if problem else []


def _same(a: os.stat_result, b: os.stat_result) -> bool:
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
