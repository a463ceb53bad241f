"""The protocol without one of its rules: for each rule the code that lacks it, and the invariants that must catch
that (docs/protocol.md, *Verification*). A mutation that nothing catches is a hole in the simulation.

The guard's latch is not here: in the simulation a daemon that the guard kills is dead, and what is left of the
rule is the guard's own; tests/unit/fencing has it.
"""

from tests.simulation.mutations import (
    failures,
    fencing,
    guard,
    instances,
    maintenance,
    namesake,
    observing,
    overlap,
    ownership,
    readiness,
    relations,
    session,
    unreadable,
)

MUTATIONS = [
    *session.MUTATIONS,
    *guard.MUTATIONS,
    *observing.MUTATIONS,
    *ownership.MUTATIONS,
    *overlap.MUTATIONS,
    *failures.MUTATIONS,
    *maintenance.MUTATIONS,
    *fencing.MUTATIONS,
    *namesake.MUTATIONS,
    *readiness.MUTATIONS,
    *relations.MUTATIONS,
    *instances.MUTATIONS,
    *unreadable.MUTATIONS,
]
