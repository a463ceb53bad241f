"""The limits of a listener: bounds, fairness between peers, a rate for each peer. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

# So many peers' rates are remembered; the peer that has been silent for longest is forgotten first.
PEERS = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one listener. Times in seconds.

    `connections` at one time; `head_s` until a request is there, its body included; `head_bytes` of its head;
    `idle_s` between two requests; `write_s` for which a peer may take nothing of its answer; `per_second` and `burst`
    of connections and requests of one peer.
    """

    connections: int = 64
    head_s: float = 5.0
    head_bytes: int = 16_384
    idle_s: int = 15
    write_s: float = 10.0
    per_second: float = 20.0
    burst: float = 20.0


class Closable(Protocol):
    """A connection that may have to go."""

    def abort(self) -> None:
        """Close it at once."""


class Slots:
    """The places for connections. When all are taken, the peer with the most loses its oldest to a peer with fewer: one
    peer cannot keep another out, however many it opens."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._of: dict[str, OrderedDict[int, Closable]] = {}
        self.taken = 0

    def make_room(self, peer: str) -> bool:
        """Have a place free for one more of this peer, if need be another's; False: there is none for it."""
        if self.taken < self._limit:
            return True
        most = max(self._of, key=lambda name: len(self._of[name]))
        if len(self._of[most]) <= len(self._of.get(peer, ())) + 1:
            return False
        oldest = next(iter(self._of[most].values()))
        self.give_back(most, oldest)
        oldest.abort()
        return True

    def take(self, peer: str, connection: Closable) -> None:
        """It has the place that there is."""
        self._of.setdefault(peer, OrderedDict())[id(connection)] = connection
        self.taken += 1

    def give_back(self, peer: str, connection: Closable) -> None:
        """Its place is free again; safe to repeat."""
        own = self._of.get(peer)
        if own is not None and own.pop(id(connection), None) is not None:
            self.taken -= 1
            if not own:
                del self._of[peer]


class Rates:
    """A bucket of tokens for each peer, `per_second` new ones up to `burst`."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second, self._burst = per_second, burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, peer: str, now_s: float) -> bool:
        """Take one; False: it has none left."""
        left, at_s = self._left.pop(peer, (self._burst, now_s))
        left = min(self._burst, left + (now_s - at_s) * self._per_second)
        self._left[peer] = (left - 1 if left >= 1 else left, now_s)
        if len(self._left) > PEERS:
            self._left.popitem(last=False)
        return left >= 1
