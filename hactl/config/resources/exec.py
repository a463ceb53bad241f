"""Kind `exec`: commands of the operator's."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import model_validator

from hactl.config.fields import Argv, FilePath, Part, setting, wrong
from hactl.model import resources as of


class Exec(Part):
    """Commands of your own: either `command`, or `start`, `stop` and `monitor`. Lists of words, no shell."""

    OF: ClassVar[Any] = of.ExecOptions

    command: Argv | None = setting(
        "a program that stays in the foreground; hactl supervises it",
        None,
        examples=[["/usr/bin/agent", "--foreground"]],
    )
    ready: Argv | None = setting("for `command`: returns 0 as soon as the program is ready", None)
    start: Argv | None = setting("returns 0 when the resource runs; it must not fail if it runs already", None)
    stop: Argv | None = setting(
        "returns 0 when the resource is stopped; it must not fail if it is stopped already", None
    )
    kill: Argv | None = setting(
        "the fastest way to stop it, within stop_budget - self_fence_lead; default: `stop`", None
    )
    monitor: Argv | None = setting(
        "returns 0 while the resource runs well, 3 or 7 when it does not run, any other status when it has failed", None
    )
    cwd: FilePath | None = setting("the working directory of the commands", None)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        agent = [name for name in ("start", "stop", "kill") if getattr(self, name) is not None]
        if self.command is not None:
            if agent:
                hint = "give `command` alone, which is stopped by signals, or `start`, `stop` and `monitor`"
                raise wrong(f"has both `command` and `{agent[0]}`", hint)
            return self
        missing = [name for name in ("start", "stop", "monitor") if getattr(self, name) is None]
        if missing:
            raise wrong(f"lacks `{'`, `'.join(missing)}`", "give `command`, or `start`, `stop` and `monitor`")
        if self.ready is not None:
            raise wrong("has `ready` without `command`", "leave it out: `start` itself returns when it runs")
        return self
