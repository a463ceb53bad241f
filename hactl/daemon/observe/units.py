"""Looks after the systemd units of this node's groups: keeps the drop-ins by which systemd leaves them to hactl, tells
what else would start one, and has one unit be one resource's, whatever names it is called by.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path

import structlog

from hactl.daemon.observe.resources import must_be_stopped, resources_here, within
from hactl.decide.outside import ALSO_STARTED, UNGUARDED
from hactl.decide.reading import ReadGroup, ReadState
from hactl.linux.drop_ins import DropIn
from hactl.linux.errors import OperationError
from hactl.linux.systemd import Systemd
from hactl.model.events import Event, Observed, Readiness, Warned
from hactl.model.resources import ResourceSpec, SystemdSpec
from hactl.resources.base import NodeContext, Resource
from hactl.resources.systemd import Unit, same_unit
from hactl.supervise import describe

log = structlog.get_logger()

EVERY_S = 60.0
# After a look that did not come to its end; and how often the files of the drop-ins are looked at.
AGAIN_S = 5.0
# How often it is seen whether there is another configuration, or another owner of a group.
NEWS_S = 0.5

Name = tuple[str, str]
Mine = dict[Name, tuple[ReadGroup, Unit]]


class UnitKeeper:
    """Runs until cancelled. `resource` gives the resource of a definition, `post` takes events."""

    def __init__(
        self,
        state: Callable[[], ReadState],
        resource: Callable[[str, ResourceSpec], Resource],
        post: Callable[[Event], None],
        context: NodeContext,
    ) -> None:
        self._state, self._resource, self._post, self._context = state, resource, post, context
        self._specs: dict[Name, tuple[ResourceSpec, bool]] = {}
        self._wanted: Collection[DropIn] = ()
        self._unfit: dict[Name, str] = {}
        self._warned: dict[tuple[Name, str], str] = {}

    async def run(self) -> None:
        """Look again and again: at once when the configuration changes, at markers also when an owner does."""
        due = files_due = 0.0
        loop = asyncio.get_running_loop()
        while True:
            if self._is_known():
                mine = self._mine()
                specs = {name: (unit.spec, unit.guard_at_boot) for name, (_, unit) in mine.items()}
                if specs != self._specs or loop.time() >= due:
                    self._specs = {**specs}
                    due = loop.time() + (EVERY_S if await self._look(mine) else AGAIN_S)
                    files_due = loop.time() + AGAIN_S
                elif loop.time() >= files_due:
                    await self._keep(self._wanted, self._context.drop_ins.revision, known=True)
                    files_due = loop.time() + AGAIN_S
                self._take_markers(mine)
            await asyncio.sleep(NEWS_S)

    def _is_known(self) -> bool:
        """Whether the groups of the configuration have been taken over."""
        cluster, runs = self._state().cluster, self._state().runs
        return cluster is not None and all(group.name in runs for group in cluster.exclusive)

    def _mine(self) -> Mine:
        """The units of groups that this node may run, or still runs."""
        state, mine = self._state(), Mine()
        here = [*resources_here(state)]
        here += [(run, spec) for run in state.all_here() if not run.stopped for spec in run.spec.resources]
        for run, spec in here:
            if isinstance(spec, SystemdSpec):
                unit = self._resource(run.spec.name, spec)
                assert isinstance(unit, Unit)
                unit.guard_at_boot = spec.options.guard_at_boot
                mine[run.spec.name, spec.name] = (run, unit)
        return mine

    async def _look(self, mine: Mine) -> bool:
        """At everything; whether all of it could be seen."""
        revision = self._context.drop_ins.revision
        ids = {name: await within(unit.id()) for name, (_, unit) in mine.items()}
        all_names = frozenset(id_ for id_ in ids.values() if id_) | {unit.unit for _, unit in mine.values()}
        self._refuse_twice(mine, ids)
        wanted: list[DropIn] = []
        complete = known = True
        for name, (_, unit) in mine.items():
            unit.others = all_names
            drop_ins = await within(unit.drop_ins())
            complete &= drop_ins is not None
            known &= await within(unit.knows_drop_ins()) is not False
            wanted += drop_ins or ()
            starters = await within(unit.boot_starters())
            if starters is not None:
                self._warn(name, ALSO_STARTED, starters)
        self._wanted = tuple({drop_in.unit: drop_in for drop_in in wanted}.values())
        problem = await self._keep(self._wanted, revision if complete else -1, known=known)
        for name in mine:
            self._warn(name, UNGUARDED, problem)
        self._forget(mine)
        return complete and not problem

    async def _keep(self, wanted: Collection[DropIn], revision: int, *, known: bool) -> str:
        """Have the drop-ins in use; why that cannot be done, or ""."""
        if not self._context.drop_ins.usable:
            return ""
        try:
            await self._context.drop_ins.keep(wanted, Systemd().reload, revision, unloaded=not known)
        except (OSError, OperationError) as error:
            problem = str(error) if isinstance(error, OperationError) else describe(error)
            log.warning("systemd.drop_ins_missing", error=problem)
            return f"its drop-in for systemd cannot be put in use: {problem}"
        return ""

    def _refuse_twice(self, mine: Mine, ids: dict[Name, str | None]) -> None:
        """Of two resources with one unit the first, by the configuration, has it."""
        first: dict[str, Name] = {}
        for name, (_, unit) in mine.items():
            id_, why = ids[name], ""
            if id_ and (other := first.setdefault(id_, name)) != name:
                why = same_unit(unit.unit, id_, mine[other][1].unit, "/".join(other))
            if self._unfit.get(name, "") != why:
                self._unfit[name] = why
                self._post(Readiness(name[0], f"unit/{name[1]}", "unfit" if why else "ready", why))

    def _warn(self, name: Name, topic: str, text: str) -> None:
        if self._warned.get((name, topic), "") == text:
            return
        self._warned[name, topic] = text
        if (run := self._state().here(name[0])) is not None:
            self._post(Observed(*name, run.health.get(name[1], "unknown"), warned=Warned(topic, text)))

    def _forget(self, mine: Mine) -> None:
        for name, topic in [key for key in self._warned if key[0] not in mine]:
            self._warn(name, topic, "")
            del self._warned[name, topic]
        for name in [name for name in self._unfit if name not in mine]:
            self._post(Readiness(name[0], f"unit/{name[1]}", "ready", ""))
            del self._unfit[name]

    def _take_markers(self, mine: Mine) -> None:
        """Nothing starts a unit here whose group is another node's, or that is none of hactl's any more."""
        for run, unit in mine.values():
            if must_be_stopped(self._state(), run):
                unit.disown()
        named = {unit.marker for _, unit in mine.values()}
        for path in Path(self._context.state_dir, "owned").glob("*"):
            if path not in named:
                path.unlink(missing_ok=True)
