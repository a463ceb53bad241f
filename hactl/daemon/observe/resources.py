"""Checks the resources on this node: whether each resource of each of its groups could be started here, and whether
anything of a group that is another node's is here all the same.

Both show before a failover, not by one. Cheap: every ten seconds, addresses also when something happens to one;
only a monitor that is a command is run, at most once a minute, and processes that run a resource's command though hactl
did not start them are looked for as seldom.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from hactl.decide.outside import TWIN
from hactl.decide.planned import maintenance_of
from hactl.decide.reading import ReadGroup, ReadState
from hactl.linux.aside import aside
from hactl.linux.errors import OperationError
from hactl.model.events import Event, Observed, Readiness, Warned
from hactl.model.resources import ExecSpec, ManifestSpec, OcfSpec, PromoteSpec, ResourceSpec, VipSpec
from hactl.resources.base import Observation, Resource
from hactl.resources.twins import named, twins

if TYPE_CHECKING:
    from hactl.linux.network import Changes

log = structlog.get_logger()

EVERY_S = 10.0
COMMANDS_EVERY_S = 60.0
# While it is not known what this node may run.
UNCONFIGURED_S = 0.5
# Addresses come and go in heaps.
SETTLE_S = 0.05
# A look that takes longer has failed.
LOOK_S = 5.0

# The kinds that are here also where they are not as they should be: another content, another interface; a unit that is
# on its way up, down, or to its next start, which may take minutes and is not stopped; a file system that is mounted
# elsewhere than it should be.
_HERE_THOUGH_FAILED = ("vip", "manifest", "systemd", "mount")

Result = TypeVar("Result")


class Lookout:
    """Runs until cancelled. `resource` gives the resource of a definition, `post` takes events."""

    def __init__(
        self,
        state: Callable[[], ReadState],
        resource: Callable[[str, ResourceSpec], Resource],
        post: Callable[[Event], None],
    ) -> None:
        self._state, self._resource, self._post = state, resource, post
        # The last post of each group and resource, and when its command was run last.
        self._reported: dict[tuple[str, str], str] = {}
        self._ran_at: dict[tuple[str, str], float] = {}
        self._twins: dict[tuple[str, str], str] = {}
        self._twins_at = float("-inf")
        self._news = asyncio.Event()
        self._changed: set[str] | None = set()

    async def run(self) -> None:
        """Look again and again."""
        with contextlib.ExitStack() as following:
            followed = False
            while True:
                await self._look(lambda spec: True)
                await self._look_for_twins()
                if not followed and any(_is_vip(spec) for _, spec in self._everything()):
                    # The listener is imported only where there are VIPs.
                    from hactl.linux.network import Network  # noqa: PLC0415

                    following.enter_context(Network.shared().following(self._tell_of))
                    followed = True
                pause_s = EVERY_S if any(self._everything()) else UNCONFIGURED_S
                await self._follow_addresses(asyncio.get_running_loop().time() + pause_s)

    def _tell_of(self, changes: Changes) -> None:
        if changes.links or changes.everything:
            self._changed = None
        elif self._changed is not None:
            self._changed.update(host for _, host in changes.addresses)
        self._news.set()

    async def _look_at_addresses(self) -> None:
        """At the VIPs that have come or gone, else, where it was a link or an address of the node's own, at all."""
        changed, self._changed = self._changed, set()
        if changed is not None and not changed - {_host(spec) for _, spec in self._everything()}:
            await self._look(lambda spec: _is_vip(spec) and _host(spec) in changed)
        else:
            await self._look(_is_vip)

    async def _follow_addresses(self, until: float) -> None:
        """Look at addresses when something happens to one."""
        while True:
            try:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
                    await asyncio.sleep(SETTLE_S)
            except TimeoutError:
                return
            self._news.clear()
            await self._look_at_addresses()

    async def _look(self, wanted: Callable[[ResourceSpec], bool]) -> None:
        """At everything of that kind."""
        for run, spec in list(self._everything()):
            if wanted(spec):
                await self._see_ready(run, spec)
                await self._see_strays(run, spec)
                await asyncio.sleep(0)  # most looks wait for nothing, and there may be very many
        here = {(run.spec.name, spec.name) for run, spec in self._everything()}
        for group, name in [key for key in self._reported if key not in here]:
            self._tell(group, name, "")
            del self._reported[group, name]

    def _everything(self) -> Iterator[tuple[ReadGroup, ResourceSpec]]:
        return resources_here(self._state())

    async def _see_ready(self, run: ReadGroup, spec: ResourceSpec) -> None:
        why = await within(self._ready(run.spec.name, spec))
        if why is not None:
            self._tell(run.spec.name, spec.name, why)

    async def _ready(self, group: str, spec: ResourceSpec) -> str:
        return await self._resource(group, spec).ready()

    def _tell(self, group: str, name: str, why: str) -> None:
        if self._reported.get((group, name), "") != why:
            self._reported[group, name] = why
            self._post(Readiness(group, f"resource/{name}", "unfit" if why else "ready", why))

    async def _see_strays(self, run: ReadGroup, spec: ResourceSpec) -> None:
        if not must_be_stopped(self._state(), run) or not self._may_run_command(run, spec):
            return
        seen = await within(self._probe(run.spec.name, spec))
        # While it was looked at the group may have become this node's.
        if seen is not None and _is_here(spec, seen) and must_be_stopped(self._state(), run):
            self._post(Observed(run.spec.name, spec.name, "running", seen.detail))

    async def _look_for_twins(self) -> None:
        """Processes that run the command of a resource of a group that is another node's."""
        elsewhere = {
            (run.spec.name, spec.name): (spec.options.command, spec.options.cwd)
            for run, spec in self._everything()
            if isinstance(spec, ExecSpec) and spec.options.command and must_be_stopped(self._state(), run)
        }
        now = asyncio.get_running_loop().time()
        pids: dict[tuple[str, str], list[int]] | None = {}
        if elsewhere and now - self._twins_at < COMMANDS_EVERY_S:
            pids = None
        elif elsewhere:
            self._twins_at = now
            pids = await within(aside("the processes here", twins, elsewhere))
        for key in [key for key in self._twins if key not in elsewhere]:
            self._tell_twin(key, "")
        if pids is not None:
            for key in elsewhere:
                text = f"{named(pids[key])} runs its command here, and hactl did not start it" if key in pids else ""
                self._tell_twin(key, text)

    def _tell_twin(self, key: tuple[str, str], text: str) -> None:
        if self._twins.get(key, "") == text:
            return
        if text:
            self._twins[key] = text
        else:
            del self._twins[key]
        run = self._state().here(key[0])
        if run is not None:
            health = run.health.get(key[1], "unknown")
            self._post(Observed(*key, health, warned=Warned(TWIN, text)))

    async def _probe(self, group: str, spec: ResourceSpec) -> Observation:
        return await self._resource(group, spec).probe()

    def _may_run_command(self, run: ReadGroup, spec: ResourceSpec) -> bool:
        of_commands = isinstance(spec, ExecSpec) and not spec.options.command
        looked_at = isinstance(spec, ManifestSpec) and spec.options.gone and spec.options.gone.command
        if not (isinstance(spec, OcfSpec | PromoteSpec) or of_commands or looked_at):
            return True
        key, now = (run.spec.name, spec.name), asyncio.get_running_loop().time()
        if now - self._ran_at.get(key, float("-inf")) < COMMANDS_EVERY_S:
            return False
        self._ran_at[key] = now
        return True


def resources_here(state: ReadState) -> Iterator[tuple[ReadGroup, ResourceSpec]]:
    """The resources that this node may run one day."""
    for run in state.all_here():
        configured = state.cluster is not None and state.cluster.group(run.spec.name) is not None
        if configured and (not run.spec.nodes or state.node in run.spec.nodes):
            for spec in run.spec.resources:
                yield run, spec


def must_be_stopped(state: ReadState, run: ReadGroup) -> bool:
    """Whether the group is another node's, and nothing of it is known to be here."""
    name = run.spec.name
    return (
        state.phase == "live"
        and state.runs.get(name) is run
        and state.role(name) == "other"
        and state.view.groups[name].record.state != "unmanaged"
        and maintenance_of(state.view, name) is None
        and run.stopped
        and not run.txn
    )


async def within(look: Coroutine[Any, Any, Result]) -> Result | None:
    """The result of a look; None where it does not come to an end, or fails: then nothing is known."""
    try:
        async with asyncio.timeout(LOOK_S):
            return await look
    except (TimeoutError, OperationError, OSError):
        return None
    except Exception:  # a resource's own mistake must not end the looking
        log.exception("look_crashed")
        return None


def _host(spec: ResourceSpec) -> str:
    """The address of a VIP without its prefix, as the kernel's are spelled; "": it is none."""
    return _host_of(spec.options.address) if isinstance(spec, VipSpec) else ""


@functools.lru_cache(maxsize=8192)
def _host_of(address: str) -> str:
    try:
        return str(ipaddress.ip_interface(address).ip)
    except ValueError:
        return ""


def _is_vip(spec: ResourceSpec) -> bool:
    return isinstance(spec, VipSpec)


def _is_here(spec: ResourceSpec, seen: Observation) -> bool:
    return seen.health == "running" or (seen.health == "failed" and spec.kind in _HERE_THOUGH_FAILED)
