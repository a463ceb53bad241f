"""The decide side over schedules of faults, each drawn from a seed; after every step the invariants hold."""

from __future__ import annotations

import os

import pytest

from tests.simulation.checks import report
from tests.simulation.run import run_many, run_seed

SEEDS = int(os.environ.get("SEEDS", "2000"))


@pytest.mark.timeout(1800)
def test_no_schedule_violates_an_invariant() -> None:
    """`make simulate SEEDS=100000` runs more of them; a failing seed replays with its transcript."""
    bad, total = run_many(0, SEEDS, workers=2)
    print(report(total))
    shown = "\n".join(
        f"python -m tests.simulation.run --seed {outcome.seed}: {outcome.violation}" for outcome in bad[:10]
    )
    assert not bad, f"{len(bad)} of {SEEDS} schedules:\n{shown}"
    # The schedules do something: faults without effect would prove nothing.
    for event in ("acquire", "depose", "guard fired", "session_adopted", "group_accept", "store_refused", "deposed"):
        assert total.get(event, 0) > SEEDS / 50, f"hardly any {event} in {SEEDS} schedules"


@pytest.mark.timeout(600)
def test_no_schedule_of_failures_does() -> None:
    """Groups that wander, that no client reaches, that cannot be stopped: `--only failing` runs more of them."""
    bad, total = run_many(0, max(40, SEEDS // 20), workers=2, plans="failing")
    shown = "\n".join(f"{outcome.seed}: {outcome.violation}" for outcome in bad[:10])
    assert not bad, f"python -m tests.simulation.run --only failing --seed\n{shown}"
    for event in ("fault unseen", "group_held", "asks_to_be_fenced"):
        assert total.get(event, 0), f"no {event}"


@pytest.mark.timeout(600)
def test_no_schedule_of_promotions_does() -> None:
    """Instances that replicate, die, and may lose what they had: `--only promoting` runs more of them."""
    bad, total = run_many(0, max(40, SEEDS // 20), workers=2, plans="promoting")
    shown = "\n".join(f"{outcome.seed}: {outcome.violation}" for outcome in bad[:10])
    assert not bad, f"python -m tests.simulation.run --only promoting --seed\n{shown}"
    for event in ("promoted", "start of an instance"):
        assert total.get(event, 0), f"no {event}"


@pytest.mark.parametrize("seed", [3, 8, 114])
def test_a_seed_replays_exactly(seed: int) -> None:
    """The same seed gives the same transcript, to the letter."""
    first, again = run_seed(seed, trace=True), run_seed(seed, trace=True)
    assert len(first.log) > 100
    assert first.log == again.log
