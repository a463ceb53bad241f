"""Finding, afterwards, whether two runs of the active/passive service were alive at one time (S1)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the service: from its start to the last it was heard of. Times in ms on CLOCK_BOOTTIME."""

    node: str
    epoch: int
    begin_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two runs that were alive at one time."""

    first: Run
    second: Run

    @property
    def ms(self) -> float:
        """For how long."""
        return min(self.first.end_ms, self.second.end_ms) - self.second.begin_ms


def read_runs(directory: Path) -> list[Run]:
    """Every run, in the order of their starts. A last line cut short by a power cut is left out."""
    runs = []
    for file in directory.glob("*.trace"):
        lines = file.read_bytes().split(b"\n")[:-1]
        if not lines:
            continue
        begin, _, words = lines[0].decode().partition(" start ")
        facts = dict(word.split("=", 1) for word in words.split())
        epoch = int(facts["epoch"]) if facts["epoch"].isdigit() else 0
        runs.append(Run(facts["node"], epoch, float(begin), float(lines[-1].split()[0])))
    return sorted(runs, key=lambda run: run.begin_ms)


def find_overlaps(directory: Path) -> list[Overlap]:
    """Every pair of runs of which the later began before the earlier was last heard of. A frozen run that
    is killed before it goes on counts until it was frozen; one that goes on counts all the while."""
    pairs = combinations(read_runs(directory), 2)
    return [Overlap(first, second) for first, second in pairs if second.begin_ms <= first.end_ms]


def epochs_grow(directory: Path) -> bool:
    """Whether every later run has a higher epoch, or the same on the same node (S3)."""
    runs = read_runs(directory)
    return all(
        later.epoch > earlier.epoch or (later.epoch == earlier.epoch and later.node == earlier.node)
        for earlier, later in pairwise(runs)
    )
