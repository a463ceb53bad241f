"""Groups on every node, and the promotion of an instance, without one of their rules."""

from __future__ import annotations

from typing import Any

from hactl.decide import clones, promotion
from tests.simulation.mutations.mutation import Mutation, patch

_NOT_YET, _AWAY = promotion.not_yet, clones._away


def _nobody_is_asked() -> Any:
    """The first that may run it is promoted, whatever the others have."""
    return patch(promotion, "not_yet", lambda state, run, observed, out: "")


def _others_are_not_waited_for() -> Any:
    return patch(promotion, "_waits_for_others", lambda state, run, revision: "")


def _old_scores_count() -> Any:
    """A score that was asked in an earlier ownership is as good."""

    def not_yet(state: Any, run: Any, observed: Any, out: Any) -> str:
        if run.spec.promotes and run.score.of >= 0 and observed is not None:
            run.score.of = observed.mod_revision
        return _NOT_YET(state, run, observed, out)

    return patch(promotion, "not_yet", not_yet)


def _promoted_again() -> Any:
    """An instance that died is promoted again as soon as it runs."""
    return patch(promotion, "lost", lambda run, own: "")


def _stop_with_the_session() -> Any:
    def away(state: Any, run: Any) -> str:
        return "no session" if state.phase in ("stopping", "closing") else _AWAY(state, run)

    return patch(clones, "_away", away)


_FAULTS = ("crash", "move", "standby", "kill-daemon", "cut", "store-away")

MUTATIONS = (
    Mutation("nobody is asked", _nobody_is_asked, _FAULTS, ("C3",), promoted=True),
    Mutation("the others are not waited for", _others_are_not_waited_for, _FAULTS, ("C3",), promoted=True),
    Mutation("old scores count", _old_scores_count, _FAULTS, ("C3",), promoted=True),
    Mutation("promoted again", _promoted_again, _FAULTS, ("C3",), promoted=True),
    Mutation("stopped with the session", _stop_with_the_session, _FAULTS, ("C2",), promoted=True),
)  # fmt: skip
