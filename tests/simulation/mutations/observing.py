"""Observers without one of their rules: when the session of a peer is over."""

from __future__ import annotations

from typing import Any

from election import observer, ownership
from election.clock import Instant, observer_elapsed
from tests.simulation.mutations.mutation import ISOLATING, Mutation, all_of, patch


def _no_margin() -> Any:
    return all_of(patch(observer, "CLOCK_RATE_MARGIN", -0.1), patch(observer, "limit_ms", lambda lease: lease * 0.9))


def _any_revision() -> Any:
    """An observer's clock counts for a dead session whatever it had seen of it."""

    def saw_fence(self: Any, name: str, record: Any, now: Instant) -> None:
        if record is None:
            return
        known = self.dead.get(name)
        if known is not None and (known.session_id, known.session_revision) == (
            record.session_id,
            record.session_revision,
        ):
            return
        seen = self.sightings.get(name)
        since = seen.over_since if seen and seen.session_revision == record.session_revision else now
        self.dead[name] = observer.DeadSighting(record.session_id, record.session_revision, since)

    # Deposing early is what makes an exact sighting matter: suspicion, which comes with fencing devices.
    def over(self: Any, name: str, stored: Any, now: Instant) -> bool:
        seen = self.sightings.get(name)
        return seen is not None and observer_elapsed(seen.over_since, now) >= 0.5 * stored.record.lease_ms

    return all_of(
        patch(observer.Observer, "on_fence", saw_fence),
        patch(observer.Observer, "over", over),
    )


def _no_restart_after_gap() -> Any:
    def renewed_myself(self: Any, now: Instant, *answer: Any) -> None:
        self.last_own_renewal, self.since_gap = now, 0

    return patch(observer.Observer, "on_own_renewal", renewed_myself)


def _depose_in_gap() -> Any:
    return all_of(patch(observer.Observer, "in_gap", lambda self, now: False), _no_restart_after_gap())


def _live_may_be_safe() -> Any:
    """A session that still is nodes/N is taken for safe when its lease is over here."""

    def holder_safe(view: Any, seen: Any, holder: Any, lease_counts: bool, now: Instant) -> Any:
        stored = ownership.session_of(view, holder)
        if stored is not None and lease_counts:
            sighting = seen.sightings.get(holder.node)
            if sighting and observer_elapsed(sighting.over_since, now) > 0.6 * stored.record.lease_ms:
                return ownership.Verdict(True, "silent")
        return original(view, seen, holder, lease_counts, now)

    original = ownership.holder_safe
    return patch(ownership, "holder_safe", holder_safe)


# fmt: off
MUTATIONS = [
    Mutation("no margin for clocks", _no_margin, ISOLATING, ("G5", "S1", "S2")),
    Mutation("any sighting counts", _any_revision, ISOLATING, ("G5", "S1", "S2")),
    Mutation("clocks go on over a gap", _no_restart_after_gap, ("store-away", "crash"), ("S4",)),
    Mutation("deposing in a gap", _depose_in_gap, ("store-away",), ("S4",)),
    Mutation("a live session may be safe", _live_may_be_safe, ISOLATING, ("S1", "S2")),
]
# fmt: on
