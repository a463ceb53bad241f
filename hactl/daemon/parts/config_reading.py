"""Carries out ReadConfig: one reading of the configuration at a time, the newest next."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog

from hactl.daemon.parts.config_reader import ConfigReader, UnreadableError
from hactl.decide.reading import ReadState
from hactl.model.effects import ReadConfig
from hactl.model.events import Configured
from hactl.supervise import Tasks, describe

log = structlog.get_logger()


class ConfigReading:
    """Posts Configured for each ReadConfig but those that a newer one has replaced."""

    def __init__(
        self, reader: ConfigReader, tasks: Tasks, state: Callable[[], ReadState], post: Callable[[Configured], None]
    ) -> None:
        self._reader, self._tasks, self._state, self._post = reader, tasks, state, post
        self._reading = False
        self._next: ReadConfig | None = None

    def carry_out(self, effect: ReadConfig) -> None:
        """Read it, now or after the one that is being read."""
        if self._reading:
            self._next = effect
        else:
            self._reading = True
            failed = partial(Configured, effect.revision, None)
            self._tasks.once("configuration", self._read(effect), lambda why: self._answer(failed(why)))

    async def _read(self, effect: ReadConfig) -> None:
        try:
            generation = self._state().generation
            known = await self._reader.known(effect.text, generation)
            event = Configured(effect.revision, known or await self._reader.read(effect.text, generation))
        except Exception as error:
            if not isinstance(error, UnreadableError):
                log.exception("config_not_read", problem=describe(error))
            earlier = await self._reader.last() if self._state().cluster is None else None
            event = Configured(effect.revision, earlier, str(error) or describe(error))
        self._answer(event)

    def _answer(self, event: Configured) -> None:
        """Posted in any case: the decide side asks once for each revision, and waits for this."""
        self._reading = False
        self._post(event)
        if (newer := self._next) is not None:
            self._next = None
            self.carry_out(newer)
