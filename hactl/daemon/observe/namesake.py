"""Finds out for the decide side the identity of this machine, and whether another one answers for its address."""

from __future__ import annotations

from collections.abc import Callable

from election import machine
from hactl.config.node import NodeConfig
from hactl.daemon.parts.machine import identify
from hactl.daemon.parts.state_files import StateFiles
from hactl.linux.disk_thread import DiskThread
from hactl.model import effects, events
from hactl.supervise import Tasks

# A part of the identity that the disk does not give by then counts as missing.
DISK_S = 4.0


class Namesake:
    """Each effect is answered by one event, whatever happens, but Disown, which is done when this returns."""

    def __init__(
        self, config: NodeConfig, state_files: StateFiles, tasks: Tasks, post: Callable[[events.Event], None]
    ) -> None:
        self._config, self._state_files, self._tasks, self._post = config, state_files, tasks, post
        self._files = DiskThread("state_dir", DISK_S)

    def carry_out(self, effect: effects.Identify | effects.ProbeOriginal | effects.Disown) -> None:
        """Does not wait for the network, nor for another program."""
        match effect:
            case effects.Disown():
                self._state_files.disown(effect.session_id)
            case effects.Identify():
                nothing = machine.identity(("", "", ""))  # a part that cannot be had says nothing
                self._tasks.once(
                    "identify this machine",
                    self._identify(effect.address),
                    lambda why: self._post(events.Identified(nothing)),
                )
            case effects.ProbeOriginal():
                self._tasks.once(
                    "ask for this node's address",
                    self._probe(effect.address),
                    lambda why: self._post(events.OriginalProbed("", why)),
                )

    async def _identify(self, address: str) -> None:
        self._post(events.Identified(await self._files.run(identify, self._config, address)))

    async def _probe(self, address: str) -> None:
        from hactl.resources.vip.own_address import NotAskedError, other_holder  # noqa: PLC0415 - large, and rarely wanted

        try:
            self._post(events.OriginalProbed(await other_holder(address)))
        except NotAskedError as error:
            self._post(events.OriginalProbed("", str(error)))
