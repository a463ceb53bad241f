"""Runs schedules: `python -m tests.simulation.run --seeds 2000`, or one with its transcript: `--seed 17`."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.simulation.checks import Violation, report
from tests.simulation.faults import checkpoint, inject, mend_all
from tests.simulation.passed_over import looked_at
from tests.simulation.plan import NODE_FAULTS, Focus, Plan, failing_plan, gentle_plan, make_plan
from tests.simulation.world import World

# How long after the last fault everything must run again: leases, staggered candidates, restarts, back-off. Most
# schedules are there sooner, which is looked for first.
SETTLING_MS = 50_000.0
SETTLED_MS = 20_000.0


@dataclass
class Outcome:
    """What came of one schedule."""

    seed: int
    violation: str = ""
    name: str = ""
    stats: dict[str, int] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)


def run_plan(plan: Plan, trace: bool = False) -> Outcome:
    """Run one plan to its end or its first violation."""
    world = World(plan, trace)
    outcome = Outcome(plan.seed)
    world.say("seed %d: %s, trusted: %s", plan.seed, plan.cluster.groups, plan.trusted)
    for fault in plan.faults:
        world.at(fault.at, lambda fault=fault: inject(world, fault))  # type: ignore[misc]
    world.at(5000, lambda: checkpoint(world))
    try:
        # Half of the schedules look at the groups that are passed over, the others pass them over.
        with looked_at() if plan.seed % 2 else contextlib.nullcontext():
            world.run_until(plan.length * 0.75)
            mend_all(world)
            _settle(world)
    except Violation as violation:
        outcome.violation, outcome.name = str(violation), violation.name
        world.say("*** %s", violation)
    except Exception:
        outcome.violation, outcome.name = traceback.format_exc(), "crash"
        world.say("*** %s", outcome.violation)
    outcome.stats, outcome.log = world.checks.stats, world.log
    return outcome


def _settle(world: World) -> None:
    """Until everything runs again."""
    end = world.now
    world.run_until(end + SETTLED_MS)
    try:
        world.checks.at_end()
    except Violation:
        world.run_until(end + SETTLING_MS)
        world.checks.at_end()


def run_seed(seed: int, trace: bool = False) -> Outcome:
    """Run the schedule of one seed."""
    return run_plan(make_plan(seed), trace)


def first_caught(plan_of: Callable[[int], Plan], caught_by: tuple[str, ...], limit: int) -> tuple[Outcome | None, int]:
    """Run schedules until one of these invariants catches something; that outcome and how many it took."""
    for seed in range(limit):
        outcome = run_plan(plan_of(seed))
        if outcome.name in caught_by:
            return outcome, seed + 1
    return None, limit


def run_gentle(seed: int, trace: bool = False) -> Outcome:
    """Run the schedule of malformed documents alone of one seed."""
    return run_plan(gentle_plan(seed), trace)


def run_malformed(seed: int, trace: bool = False) -> Outcome:
    """Run a schedule of malformed documents among other faults."""
    faults = (*["malformed"] * 12, *["later-version"] * 3, *(kind for kind, _ in NODE_FAULTS))
    return run_plan(make_plan(seed, focus=Focus(faults)), trace)


def run_failing(seed: int, trace: bool = False) -> Outcome:
    """Run a schedule of what is decided after failures of one seed."""
    return run_plan(failing_plan(seed), trace)


PLANS: dict[str, Callable[..., Outcome]] = {
    "any": run_seed,
    "gentle": run_gentle,
    "malformed": run_malformed,
    "failing": run_failing,
}


def run_many(
    first: int, count: int, workers: int, plans: str = "any", tell: Callable[[str], None] = lambda line: None
) -> tuple[list[Outcome], dict[str, int]]:
    """Run `count` schedules from seed `first` on; returns the violations and all counts. `tell`: each violation when it
    is found, and how far this is."""
    bad, total = [], dict[str, int]()
    with ProcessPoolExecutor(workers) as pool:
        for done, outcome in enumerate(pool.map(PLANS[plans], range(first, first + count), chunksize=10), 1):
            if outcome.violation:
                bad.append(outcome)
                tell(f"seed {outcome.seed}: {outcome.violation}\n  replay: {_replay(plans, outcome.seed)}")
            if done % 1000 == 0:
                tell(f"{done} of {count}, {len(bad)} violations")
            for name, value in outcome.stats.items():
                total[name] = total.get(name, 0) + value
    return bad, total


def _replay(plans: str, seed: int) -> str:
    only = "" if plans == "any" else f" --only {plans}"
    return f"python -m tests.simulation.run --seed {seed}{only}"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, help="run this one, with its transcript")
    parser.add_argument("--only", choices=PLANS, default="any", help="schedules of malformed documents, or of failures")
    options = parser.parse_args()
    if options.seed is not None:
        outcome = PLANS[options.only](options.seed, trace=True)
        print("\n".join(outcome.log))
        print(outcome.violation or "no violation")
        return 1 if outcome.violation else 0
    began = time.monotonic()
    bad, total = run_many(
        options.first, options.seeds, options.workers, options.only, lambda line: print(line, flush=True)
    )
    print(report(total))
    print(f"{options.seeds} schedules in {time.monotonic() - began:.1f} s, {len(bad)} violations")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
