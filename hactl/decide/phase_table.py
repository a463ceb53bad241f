"""The phases of a node as one table, and the one function that enters a phase (docs/protocol.md, *Phases*). Pure.

The figure in docs/protocol.md is made from this table; the simulation checks that a node takes no other way.
"""

from __future__ import annotations

from typing import NamedTuple

from hactl.decide.state import NodeState, Phase


class PhaseRule(NamedTuple):
    """One phase. `meaning`: in one line. `fast`: how what runs here is stopped from now on (True: killed; False: in its
    own time; None: as before). `drops_session`: entering it ends the session here; nothing is renewed any more.
    `next`: the phases that may follow, each with its reason."""

    meaning: str
    next: dict[Phase, str]
    fast: bool | None = None
    drops_session: bool = False


_FOREIGN_STORE = "the store is not ours: no identity, another history, or restored"
_ENDS = "the daemon is told to end, its guard died and everything is stopped, or another machine has this name"

PHASES: dict[Phase, PhaseRule] = {
    "listing": PhaseRule(
        "waits for the first list of the store and for a configuration",
        {
            "live": "a guard holds the session in the store: it is adopted",
            "stopping": "no session to go on with",
            "refused": _FOREIGN_STORE,
            "gone": _ENDS,
        },
    ),
    "live": PhaseRule(
        "holds a session: renews it, runs groups, watches the other nodes",
        {
            "ending": "the daemon is told to release everything",
            "stopping": "deposed, the session is another's, or the guard refuses it",
            "refused": _FOREIGN_STORE,
            "gone": _ENDS,
        },
    ),
    "ending": PhaseRule(
        "holds a session, and gives away everything that runs here",
        {
            "gone": "nothing runs here and the session is closed, or the guard died and everything is stopped",
            "stopping": "deposed, the session is another's, or the guard refuses it",
            "refused": _FOREIGN_STORE,
        },
    ),
    "stopping": PhaseRule(
        "has no session: stops everything exclusive",
        {"closing": "everything is stopped", "refused": _FOREIGN_STORE, "gone": _ENDS},
        drops_session=True,
    ),
    "closing": PhaseRule(
        "attests that nothing of the last session runs, then opens a new session",
        {
            "live": "the new session is open",
            "ending": "the new session is open, and the daemon was told to release everything meanwhile",
            "refused": _FOREIGN_STORE,
            "gone": "told to release everything, and nothing is left to close",
        },
    ),
    "refused": PhaseRule(
        "takes no part in this store, and stops everything exclusive at once",
        {"stopping": "the store's history is ours again", "gone": _ENDS},
        fast=True,
        drops_session=True,
    ),
    "gone": PhaseRule("the daemon ends", {}),
}


def enter(state: NodeState, phase: Phase, *, fast: bool | None = None) -> None:
    """Go on to `phase`. `fast`: stop by the fast way, where the phase itself does not say."""
    rule = PHASES[phase]
    if rule.drops_session:
        state.session.state = "none"
    if (fast := rule.fast if rule.fast is not None else fast) is not None:
        state.emergency = fast
    state.phase = phase
