"""The snapshot that the daemon publishes of itself, for the process that serves it on the network. Other versions of
hactl may write and read it: fields are added, never changed, and unknown ones are ignored."""

from __future__ import annotations

import msgspec

from election.clock import Instant, remaining


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon at the moment `taken`. `address`: the node's, as cluster.yaml has it, "" while that is not known;
    `valid_until`: when its lease ends, None: it has none; `metrics`: its page for Prometheus."""

    version: str
    node: str
    address: str
    phase: str
    refused: str
    taken: tuple[float, float]
    valid_until: tuple[float, float] | None
    metrics: bytes

    def age_s(self, now: Instant) -> float:
        """How old it is; both clocks are this machine's, and so this is never negative."""
        return max(0.0, now.boot - self.taken[0]) / 1000

    def lease_left_s(self, now: Instant) -> float:
        """Until the node's lease ends; 0: it has none."""
        return max(0.0, remaining(Instant(*self.valid_until), now)) / 1000 if self.valid_until else 0.0


_DECODER = msgspec.msgpack.Decoder(Snapshot)


def encode(snapshot: Snapshot) -> bytes:
    """As it is sent."""
    return msgspec.msgpack.encode(snapshot)


def decode(raw: bytes) -> Snapshot:
    """Raises ValueError."""
    return _DECODER.decode(raw)
