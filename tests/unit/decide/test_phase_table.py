"""The phases of a node: their table, the function that enters one, and the figure made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from election.clock import Instant
from hactl.decide.phase_table import PHASES, enter
from hactl.decide.phases import refuse
from hactl.decide.state import Out, Phase
from tests.support.stand_in import node_state
from tools.docs import phases as page

ROOT = Path(__file__).parents[3]


def test_every_phase_can_be_reached_and_left() -> None:
    reached = {after for rule in PHASES.values() for after in rule.next}
    assert reached | {"listing"} == set(PHASES)
    assert [phase for phase, rule in PHASES.items() if not rule.next] == ["gone"]
    assert all("gone" in rule.next for phase, rule in PHASES.items() if phase != "gone")


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("fast", [None, True, False])
def test_entering_a_phase(phase: Phase, fast: bool | None) -> None:
    state = node_state(None)
    state.phase, state.session.state = "live", "live"
    state.emergency = not fast
    enter(state, phase, fast=fast)
    assert state.phase == phase
    assert state.session.state == ("none" if phase in ("stopping", "refused") else "live")
    assert state.emergency is (True if phase == "refused" or fast is None else fast)


def test_a_node_that_ends_refuses_no_store_any_more() -> None:
    state = node_state(None)
    state.phase = "gone"
    out = Out(state, Instant(0, 0))
    refuse(state, "the store is of another history", out)
    assert (state.phase, out.effects) == ("gone", [])


def test_the_figure_is_the_table() -> None:
    text = (ROOT / page.PAGE).read_text(encoding="utf-8")
    assert text == page.with_figure(text), "run `python -m tools.docs.phases`"
