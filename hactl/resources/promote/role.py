"""How an instance is promoted and demoted: the contract between the resource and the ways to do it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from hactl.resources.base import Health, Observation, Resource


class RoleSeen(NamedTuple):
    """A look. `role`: running: it is promoted; stopped: it is not. `instance`: the instance itself."""

    role: Observation
    instance: Health


class Score(NamedTuple):
    """How good this node's instance would be. `value` None: it must not be promoted, for the reason `why`."""

    value: int | None
    why: str = ""


class Role(Protocol):
    """By an agent, or by commands. What it raises is an OperationError whose words do not name the resource."""

    @property
    def instance(self) -> Resource:
        """The instance, for all but its promoted role."""

    @property
    def under_way(self) -> str:
        """The action that runs now, "" none; after a cancellation the one that hung."""

    async def promote(self, env: Mapping[str, str], timeout_ms: float) -> None:
        """Promote it. What it says of its success is to be seen by a look."""

    async def demote(self, seen: RoleSeen, timeout_ms: float) -> None:
        """Demote it, as it was `seen` just now. What it says of its success is to be seen by a look."""

    async def look(self, *, interval_ms: float = 0) -> RoleSeen:
        """Whether it is promoted. `interval_ms`: how often it is asked, 0: once."""

    async def score(self, within_ms: float) -> Score:
        """Of an instance that runs, as of the last look."""

    async def ready(self) -> str:
        """Why it could not be promoted on this node, "": it could."""
