"""Whether the machine goes down, by the states of systemd's targets and the jobs for them."""

from __future__ import annotations

import pytest

from hactl.linux.systemd import UnitState, is_down, is_going_down

IN_USE = {"shutdown": "inactive", "rescue": "inactive", "emergency": "inactive", "multi-user": "active"}


def targets(**changed: str) -> list[UnitState]:
    """`active job` of each that is not as in a machine in use."""
    words = {**IN_USE, **{name.replace("_", "-"): state for name, state in changed.items()}}
    parts = [(name, *state.partition(" ")) for name, state in words.items()]
    return [UnitState("loaded", active, "", job, f"/{name}") for name, active, _, job in parts]


@pytest.mark.parametrize(
    ("seen", "going", "down"),
    [
        (targets(), False, False),
        (targets(multi_user="inactive start"), False, False),  # it boots
        (targets(shutdown="inactive start", multi_user="active stop"), True, True),
        (targets(shutdown="inactive start", multi_user="inactive start"), True, True),  # before the boot has ended
        (targets(shutdown="active", multi_user="inactive"), True, True),
        (targets(rescue="inactive start", multi_user="active stop"), True, True),
        (targets(emergency="inactive start", multi_user="inactive"), True, True),
        # Another target is isolated, which does not want hactl.
        (targets(multi_user="active stop"), True, True),
        # It has arrived there. hactl was started by hand: what ends has failed; what is stopped is not left running.
        (targets(rescue="active", multi_user="inactive"), False, True),
        (targets(multi_user="inactive"), False, True),
        # Back from there.
        (targets(rescue="active stop", multi_user="inactive start"), False, False),
    ],
)
def test_targets(seen: list[UnitState], going: bool, down: bool) -> None:
    assert (is_going_down(seen), is_down(seen)) == (going, down)
