"""How the figures are shown, and which of them are not as asked."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, NamedTuple

from bench.common import Run, Spread
from bench.scenarios import Figure, Scenario
from hactl import __version__

_HEAD = ("SCENARIO", "PROFILE", "FIGURE", "RUNS", "MIN", "MEDIAN", "MAX", "ASKED", "")


class Row(NamedTuple):
    """A figure of a scenario over its runs. `met`: None where nothing is asked."""

    figure: Figure
    runs: int
    spread: Spread | None
    met: bool | None


@dataclass(slots=True)
class Outcome:
    """A scenario with all of its runs, those that came to no end included."""

    scenario: Scenario
    runs: list[Run] = field(default_factory=list)

    def rows(self) -> Iterator[Row]:
        """Its figures."""
        for figure in self.scenario.figures:
            values = [run.figures[figure.key] for run in self.runs if figure.key in run.figures]
            spread = Spread.of(values)
            met = None
            if figure.asked is not None:
                value = None if spread is None else spread.median if figure.judged == "median" else spread.greatest
                met = value is not None and value <= figure.asked
            yield Row(figure, len(values), spread, met)

    def parts(self, name: str = "") -> dict[str, float]:
        """The medians of the parts of the outage, over the runs in which all are known."""
        known = [run.more.get(name, {}) if name else run.parts for run in self.runs]
        order = list(next((parts for parts in known if parts), {}))
        whole = [parts for parts in known if list(parts) == order and parts]
        return {part: round(median(parts[part] for parts in whole), 1) for part in order}

    @property
    def violations(self) -> list[str]:
        """Broken promises."""
        return [f"run {number}: {violation}" for number, run in enumerate(self.runs, 1) for violation in run.violations]

    @property
    def problems(self) -> list[str]:
        """Runs that came to no end."""
        return [f"run {number}: {run.problem}" for number, run in enumerate(self.runs, 1) if run.problem]

    @property
    def missed(self) -> list[str]:
        """Figures that are not as asked."""
        return [
            f"{row.figure.title}: {_number(getattr(row.spread, 'median' if by_median else 'greatest', None))}"
            f" {row.figure.unit} ({row.figure.judged}), asked: {_asked(row.figure)}"
            for row in self.rows()
            if row.met is False
            for by_median in (row.figure.judged == "median",)
        ]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.scenario.name,
            "title": self.scenario.title,
            "profile": self.scenario.profile,
            "figures": {
                row.figure.key: {
                    "runs": row.runs,
                    **(row.spread.as_dict() if row.spread else {}),
                    "unit": row.figure.unit,
                    "asked": row.figure.asked,
                    "judged": row.figure.judged,
                    "met": row.met,
                }
                for row in self.rows()
            },
            "parts_median_ms": self.parts(),
            "runs": [asdict(run) for run in self.runs],
        }


def table(outcomes: list[Outcome]) -> str:
    """All figures, a line each."""
    rows: list[tuple[str, ...]] = [_HEAD]
    for outcome in outcomes:
        for number, row in enumerate(outcome.rows()):
            first = (outcome.scenario.title, outcome.scenario.profile) if number == 0 else ("", "")
            spread = [_number(value) for value in row.spread] if row.spread else ["-"] * 3
            verdict = "" if row.met is None else "ok" if row.met else "MISSED"
            title = f"{row.figure.title} {row.figure.unit}".strip()
            rows.append((*first, title, str(row.runs), *spread, _asked(row.figure), verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    numbers = range(3, 7)
    lines = [
        "  ".join(cell.rjust(width) if column in numbers else cell.ljust(width) for column, (cell, width) in
                  enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]  # fmt: skip
    return "\n".join(lines)


def breakdown(outcome: Outcome) -> str:
    """Where the time goes, in a line for each group whose parts are known; "" for none."""
    known = {outcome.scenario.figures[0].title: outcome.parts(), "service": outcome.parts("service_parts")}
    return "\n".join(
        f"    {title}, medians in ms: " + ", ".join(f"{part} {ms:g}" for part, ms in parts.items())
        for title, parts in known.items()
        if parts
    )


def verdict(outcomes: list[Outcome]) -> str:
    """The violations and the missed figures, plainly."""
    lines = []
    for word, texts in (
        ("VIOLATED", [(outcome, text) for outcome in outcomes for text in outcome.violations]),
        ("NO END", [(outcome, text) for outcome in outcomes for text in outcome.problems]),
        ("MISSED", [(outcome, text) for outcome in outcomes for text in outcome.missed]),
    ):
        lines += [f"{word}  {outcome.scenario.name}: {text}" for outcome, text in texts]
    counts = Counter(bool(outcome.violations) for outcome in outcomes)
    runs = sum(len(outcome.runs) for outcome in outcomes)
    lines.append(f"{runs} runs of {len(outcomes)} scenarios; {counts[True]} scenarios with a violation")
    return "\n".join(lines)


def document(outcomes: list[Outcome], seconds: float) -> dict[str, Any]:
    """All of it, for JSON."""
    return {
        "hactl": __version__,
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
            "processors": len(os.sched_getaffinity(0)),
            "load": os.getloadavg(),
        },
        "seconds": round(seconds, 1),
        "missed": [f"{outcome.scenario.name}: {text}" for outcome in outcomes for text in outcome.missed],
        "violations": [f"{outcome.scenario.name}: {text}" for outcome in outcomes for text in outcome.violations],
        "problems": [f"{outcome.scenario.name}: {text}" for outcome in outcomes for text in outcome.problems],
        "scenarios": [outcome.as_dict() for outcome in outcomes],
    }


def _asked(figure: Figure) -> str:
    if figure.asked is None:
        return ""
    return f"{figure.judged} <= {figure.asked:g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}".rstrip("0").rstrip(".") if value < 10 else f"{value:.0f}"
