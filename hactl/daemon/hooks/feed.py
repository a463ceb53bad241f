"""All hooks of this node: which event goes to which, what is kept on disk, and what operators see of them.

What waits is kept in `hooks.json` below `state_dir`, a second later at the latest, and at the daemon's end: the next
daemon goes on with it. An event that is delivered just before a daemon is killed may be delivered again; one that came
in the last second before it may be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from fencing.linux import cgroup as cgroup_v2
from fencing.linux.clock import now
from hactl.admin import event_log
from hactl.admin.errors import NoSuchError
from hactl.admin.event_log import Entry
from hactl.daemon.hooks.delivery import deliver
from hactl.daemon.hooks.sender import HookSender, Note
from hactl.daemon.parts.state_files import read_typed
from hactl.decide.hooks import concerns, events_of, sends
from hactl.decide.reading import ReadState
from hactl.linux.atomic_write import write_atomically
from hactl.linux.disk_thread import DiskThread
from hactl.model.hooks import HookSpec
from hactl.supervise import Tasks

log = structlog.get_logger()

FILE = "hooks.json"
KEEP_S = 1.0
DISK_S = 5.0
# What waits is written within this time at the daemon's end.
END_S = 1.0

# Source, problem ("": none), and what to do.
Trouble = Callable[[str, str, str], None]
Queues = dict[str, list[Entry]]


class Hooks:
    """`state`: the decide side's. `cgroup`: the daemon's, below which each delivery gets its own."""

    def __init__(
        self,
        node: str,
        state_dir: str,
        cgroup: str | None,
        state: Callable[[], ReadState],
        tasks: Tasks,
        note: Note,
        trouble: Trouble,
    ) -> None:
        self._node, self._file = node, Path(state_dir, FILE)
        self._cgroup, self._state, self._tasks = cgroup, state, tasks
        self._note, self._trouble = note, trouble
        self._senders: dict[str, HookSender] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._specs: Sequence[HookSpec] = ()
        self._by_event: dict[str, tuple[HookSender, ...]] = {}
        self._disk = DiskThread("state_dir", DISK_S)
        self._changed = asyncio.Event()
        self._on_disk = False

    def take(self, entry: Entry) -> None:
        """An event of this node. Cheap: the loop that decides calls it."""
        for sender in self._asking_for(entry.event):
            about = (sender.spec, entry.event, entry.data)
            if concerns(*about) and sends(*about, self._state(), now()):
                sender.put(entry)

    def look(self, state: ReadState) -> None:
        """After every step of the decide side. Cheap."""
        if state.cluster is not None and state.cluster.hooks is not self._specs:
            self._follow(state.cluster.name, state.cluster.hooks)

    async def begin(self) -> None:
        """Go on with what the daemon before this one left."""
        self._sweep()
        left = await self._left()
        self.look(self._state())
        for name, sender in self._senders.items():
            sender.restore(left.get(name, []))

    async def run(self) -> None:
        """Keep what waits on disk, until cancelled; then once more, if that is quick."""
        try:
            while True:
                await self._changed.wait()
                await asyncio.sleep(KEEP_S)
                self._changed.clear()
                await self._keep()
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._keep(), END_S)
            raise

    async def test(self, name: str, by: str) -> dict[str, Any]:
        """Deliver an event to this hook, once: `ok`, `detail`, `ms`. Raises NoSuchError."""
        if (sender := self._senders.get(name)) is None:
            known = ", ".join(self._senders) or "there is none"
            raise NoSuchError(f"no hook `{name}` (hooks: {known})")
        return await sender.test(event_log.new_entry(self._node, 0, time.time(), "hook_test", {"by": by}))

    def status(self) -> list[dict[str, Any]]:
        """Of every hook, as it is on this node."""
        return [sender.status() for sender in self._senders.values()]

    # --- the configuration ---------------------------------------------------------------------------------------

    def _follow(self, cluster: str, specs: Sequence[HookSpec]) -> None:
        self._specs, self._by_event = specs, {}
        wanted = {spec.name: spec for spec in specs}
        for name in self._senders.keys() - wanted.keys():
            self._running.pop(name).cancel()
            if self._senders.pop(name).problem:
                self._tell(name, "")
            self._changed.set()
        for name, spec in wanted.items():
            if name in self._senders:
                self._senders[name].spec = spec
            else:
                self._begin(cluster, spec)
        self._senders = {name: self._senders[name] for name in wanted}

    def _begin(self, cluster: str, spec: HookSpec) -> None:
        send = functools.partial(deliver, cgroup=self._cgroup)
        tell = functools.partial(self._tell, spec.name)
        sender = HookSender(spec, cluster, send, self._note, tell, self._changed.set)
        self._senders[spec.name] = sender
        self._running[spec.name] = self._tasks.keep(f"hook {spec.name}", sender.run)

    def _asking_for(self, event: str) -> tuple[HookSender, ...]:
        if event not in self._by_event:
            senders = self._senders.values()
            self._by_event[event] = tuple(sender for sender in senders if event in events_of(sender.spec))
        return self._by_event[event]

    def _tell(self, name: str, problem: str) -> None:
        text = f"hook {name} is not delivered from here: {problem}" if problem else ""
        self._trouble(f"hook {name}", text, f"when it is repaired: `hactl hook test {name}` there")

    # --- the disk and the machine --------------------------------------------------------------------------------

    async def _left(self) -> Queues:
        try:
            left: Queues = await self._disk.run(read_typed, self._file, Queues)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            log.error("state_unreadable", file=str(self._file), problem=str(error))
            return {}
        self._on_disk = True
        return left

    async def _keep(self) -> None:
        queues: Queues = {name: list(sender.waiting) for name, sender in self._senders.items() if sender.waiting}
        if not queues and not self._on_disk:
            return
        self._on_disk = True
        try:
            await self._disk.run(_write, self._file, queues)
            self._on_disk = bool(queues)
        except OSError as error:
            log.warning("hooks_not_kept", problem=str(error))

    def _sweep(self) -> None:
        """End the deliveries that a daemon before this one left running: what they deliver is delivered again."""
        for left in Path(self._cgroup).glob("hook-*") if self._cgroup else ():
            with contextlib.suppress(OSError):
                cgroup_v2.kill(left)
                left.rmdir()


def _write(file: Path, queues: Queues) -> None:
    if queues:
        write_atomically(file, msgspec.json.encode(queues), durable=False)
    else:
        file.unlink(missing_ok=True)
