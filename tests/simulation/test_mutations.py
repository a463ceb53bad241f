"""The simulation must be able to fail: the protocol without each of its rules is caught."""

from __future__ import annotations

import pytest

from tests.simulation.mutations import MUTATIONS
from tests.simulation.mutations.mutation import Mutation
from tests.simulation.run import first_caught

INVARIANTS = (
    *("S1", "S2", "S3", "S4", "S5", "G1", "G3", "G4", "G5", "G6", "G7", "L1", "L2", "R1", "R2", "R3", "U1", "U2", "J1"),
    *("P1", "P2", "P3", "M1"),
    "crash",
)
SCRIPTED = [mutation for mutation in MUTATIONS if mutation.script]

# Within so many schedules each mutation must be caught.
BOUND = 300


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutation_is_caught(mutation: Mutation) -> None:
    """Some invariant of those named catches it."""
    with mutation.patch():
        caught, tried = first_caught(mutation.plan, mutation.caught_by, BOUND)
    assert caught is not None, f"not caught in {tried} schedules"


@pytest.mark.parametrize("mutation", [*MUTATIONS[::4], *SCRIPTED], ids=lambda mutation: mutation.name)
def test_the_same_schedules_pass_unmutated(mutation: Mutation) -> None:
    """What catches a mutation is the mutation, not the schedule."""
    caught, _ = first_caught(mutation.plan, INVARIANTS, 10)
    assert caught is None, f"seed {caught.seed}: {caught.violation}" if caught else ""
