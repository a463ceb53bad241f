"""A node's watch of the store: it tells of changes late, dies, and is begun anew by a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hactl.model import events

if TYPE_CHECKING:
    from tests.simulation.node import SimNode


class Watch:
    """Of one node. `dead`: it tells of nothing any more; `lag_until`: it is slow until then."""

    def __init__(self, node: SimNode) -> None:
        self.node = node
        self.next_revision = 0
        self.dead = True
        self.scheduled = False
        self.lag_until = 0.0

    def begin(self, start: int) -> None:
        """A new watch."""
        self.next_revision, self.dead = start, False
        self.soon()

    def soon(self) -> None:
        """Something may have changed: the watch tells after a while."""
        if self.scheduled or self.dead:
            return
        world = self.node.world
        self.scheduled = True
        wait = world.delay()
        if self.lag_until > world.now:
            wait += world.rng.uniform(100, 3000)
        world.after(wait, self._tell)

    def _tell(self) -> None:
        node, world = self.node, self.node.world
        self.scheduled = False
        if self.dead or node.daemon is None:
            return
        if node.cut("answers") or world.store_away():
            self.scheduled = True
            world.after(200, self._tell)
            return
        batch = world.changes(self.next_revision)
        if batch is None:
            self.dead = True
            node.deliver(node.daemon, events.WatchEnded("compacted"))
        elif batch.revision >= self.next_revision:
            self.next_revision = batch.revision + 1
            node.deliver(node.daemon, events.Watched(batch))
