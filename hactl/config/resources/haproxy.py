"""Kind `haproxy`: HAProxy where its group runs."""

from __future__ import annotations

from typing import Any, ClassVar

from hactl.config.fields import Part, WholeDurationOrZero, setting
from hactl.model import resources as of


class HaproxyInGroup(Part):
    """HAProxy only on the node where the group runs. Without such a resource it runs on every node."""

    OF: ClassVar[Any] = of.InGroupOptions

    drain: WholeDurationOrZero = setting(
        "how long, at most, open connections may go on after a stop, while new ones are refused (not longer than four "
        "fifths of stop_timeout); 0s: they are cut at once",
        of.InGroupOptions().drain_ms,
    )
