"""Tells the troubles of this node, so that the operator hears of them on any node."""

from __future__ import annotations

from collections.abc import Callable

from fencing.linux.clock import utc_z
from hactl.model.events import Trouble


class Troubles:
    """`post` takes the event; `state_dir` is named to the operator."""

    def __init__(self, state_dir: str, post: Callable[[Trouble], None]) -> None:
        self._state_dir, self._post = state_dir, post

    def tell(self, source: str, problem: str, todo: str) -> None:
        """`problem`, and `todo` against it; "": it is over."""
        self._post(Trouble(source, problem, todo, utc_z()))

    def of_task(self, task: str, reason: str) -> None:
        """A task of the daemon fails."""
        problem = f"a part of its daemon fails ({task}): {reason}" if reason else ""
        self.tell(f"task {task}", problem, "it is tried again by itself; if it stays so, see its daemon's log")

    def of_state_dir(self, reason: str) -> None:
        """The state cannot be kept."""
        problem = f"its state_dir cannot be written: {reason}" if reason else ""
        self.tell("state_dir", problem, f"make {self._state_dir} writable: until then nothing is started there")
