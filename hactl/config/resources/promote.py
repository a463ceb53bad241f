"""Kind `promote`: the promoted role of a resource that runs on every node."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator

from hactl.config.fields import Argv, Part, setting, wrong
from hactl.model import resources as of

_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"


def _instance(value: str) -> str:
    if not re.fullmatch(f"{_NAME}/{_NAME}", value):
        raise wrong(f"`{value}` names no resource of a group", "write GROUP/RESOURCE, such as `db/redis`")
    return value


class Promote(Part):
    """The promoted role of one of the instances of a resource that runs on every node, see [promotable](promotable.md).
    The commands are lists of words, no shell; for an instance of kind `ocf` its agent's actions take their place."""

    OF: ClassVar[Any] = of.PromoteOptions

    of: Annotated[str, AfterValidator(_instance)] = setting(
        "the resource whose instance is promoted, `GROUP/RESOURCE`; that group has `run: all`", examples=["db/redis"]
    )
    promote: Argv | None = setting(
        "promotes this node's instance; returns 0 when it is promoted, also where it was already", None
    )
    demote: Argv | None = setting(
        "demotes it in order; returns 0 when it is not promoted any more, also where it was not", None
    )
    role: Argv | None = setting(
        "returns 0 while this node's instance is promoted, 1 while it is not; any other status: it has failed", None
    )
    score: Argv | None = setting(
        "prints how good this node's instance would be, a whole number; the highest is promoted. It returns 1, or "
        "prints a negative number, where it must not be. Default: 0 while the instance runs",
        None,
    )

    @property
    def group(self) -> str:
        """The group of the instances."""
        return self.of.partition("/")[0]
