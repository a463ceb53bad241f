"""Runs scenarios, each in the lab that it needs, and shows the results, for the commands of all benchmarks."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

from bench.common import Cluster, Profile, Run
from bench.report import Outcome, breakdown, document, table, verdict
from bench.scenarios import Scenario
from hactl.lab import cleanup, privileges
from hactl.lab.cluster import Lab
from hactl.lab.spec import LabSpec
from hactl.lab.system import LabError, boottime_ms

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Bench:
    """One lab for each profile, with fencing and without; another after a run that came to no end, since it may have
    left anything behind."""

    def __init__(self, name: str, runs: int) -> None:
        self._name, self._runs = name, runs
        self._kept: Path | None = None
        self.outcomes: list[Outcome] = []

    def measure(self, wanted: list[Scenario]) -> None:
        """All runs of all of these."""
        for (profile, fencing), group in groupby(wanted, key=lambda scenario: (scenario.profile, scenario.fencing)):
            waiting = [Outcome(scenario) for scenario in group]
            self.outcomes += waiting
            while any(self._left(outcome) for outcome in waiting):
                with self._cluster(profile, fencing) as cluster:
                    self._play(cluster, waiting)

    def _left(self, outcome: Outcome) -> int:
        return (outcome.scenario.runs or self._runs) - len(outcome.runs)

    def _play(self, cluster: Cluster, waiting: list[Outcome]) -> None:
        """Until all are done, or until a run came to no end."""
        for outcome in waiting:
            fresh = self._left(outcome) > 0
            while self._left(outcome) > 0:
                run = self._run(cluster, outcome.scenario, len(outcome.runs))
                outcome.runs.append(run)
                shown = ", ".join(f"{name} {value:g}" for name, value in run.figures.items())
                say(f"  {outcome.scenario.name} {len(outcome.runs)}: {shown}")
                if said := [text for text in (*run.violations, run.odd, run.problem) if text]:
                    say("    " + "; ".join(said))
                    say(f"    logs: {self._keep(cluster.lab, outcome)}")
                if run.problem:
                    return
            if fresh and (text := breakdown(outcome)):
                say(text)

    def _run(self, cluster: Cluster, scenario: Scenario, number: int) -> Run:
        run, since = Run(), boottime_ms()
        try:
            cluster.await_whole()
            run = scenario.play(cluster, number)
            cluster.restore()
        except (LabError, OSError) as error:
            run.problem = f"{type(error).__name__}: {error}"
        with contextlib.suppress(LabError):
            violations = cluster.violations(since, moved=scenario.moved)
            if scenario.judged:
                run.violations += violations
            elif violations:
                run.more["not judged"] = violations
        return run

    @contextlib.contextmanager
    def _cluster(self, profile: Profile, fencing: bool) -> Iterator[Cluster]:
        say(f"profile {profile}{', with a fence device' if fencing else ''}: the lab comes up")
        with Lab(LabSpec(name=self._name, profile=profile, fencing=fencing)) as lab, lab.watch() as watcher:
            cluster = Cluster(lab, watcher)
            cluster.await_whole()
            yield cluster

    def _keep(self, lab: Lab, outcome: Outcome) -> Path:
        """Keep the logs and traces of a run."""
        self._kept = self._kept or Path(tempfile.mkdtemp(prefix="hactl-bench-"))
        place = self._kept / f"{outcome.scenario.name}-{len(outcome.runs)}"
        for directory in ("logs", "traces"):
            with contextlib.suppress(OSError):  # somebody else has taken the lab down
                shutil.copytree(lab.spec.path / directory, place / directory, dirs_exist_ok=True)
        return place


def say(text: str) -> None:
    """A line, at once."""
    print(text, flush=True)


def _interrupted(number: int, _frame: object) -> None:
    """Once: a second one must not stop the cleaning up."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def command(
    prog: str, description: str, every: list[Scenario], more: Callable[[list[Outcome]], str] = lambda _: ""
) -> int:
    """A benchmark's command line; returns its exit status. `more`: makes further lines for the end."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--runs", type=int, default=10, help="of each scenario")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="scenarios with this in their names")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything here")
    parser.add_argument("--name", default="bench", help="the lab's name")
    parser.add_argument("--list", action="store_true", help="show the scenarios' names")
    given = parser.parse_args()
    wanted = [scenario for scenario in every if not given.only or any(word in scenario.name for word in given.only)]
    if given.list or not wanted:
        say("\n".join(f"{scenario.name:32}{scenario.title}" for scenario in every))
        return 0 if given.list else 2
    for number in SIGNALS:
        signal.signal(number, _interrupted)
    bench, began = Bench(given.name, given.runs), time.monotonic()
    try:
        privileges.ensure(sys.orig_argv)
        bench.measure(wanted)
    except LabError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    finally:
        if not cleanup.labs():
            privileges.let_go()
        say("\n" + table(bench.outcomes) + "\n\n" + more(bench.outcomes) + verdict(bench.outcomes))
        if given.json:
            given.json.write_text(json.dumps(document(bench.outcomes, time.monotonic() - began), indent=1) + "\n")
    return 1 if any(outcome.violations or outcome.problems for outcome in bench.outcomes) else 0
