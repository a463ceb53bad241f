"""What a run did, with its times and figures: printed at its end, and written to $HACTL_FIGURES as JSON."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Phase:
    """A test, or a part of one (`depth` 1). `seconds` None: it did not end."""

    name: str
    depth: int
    seconds: float | None = None


@dataclass
class Phases:
    """All of a run, in the order of their begin."""

    phases: list[Phase] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)
    _depth: int = 0

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Measure what is done in this context."""
        phase = Phase(name, self._depth)
        self.phases.append(phase)
        self._depth += 1
        began = time.monotonic()
        try:
            yield phase
        finally:
            self._depth -= 1
            phase.seconds = round(time.monotonic() - began, 3)

    def lines(self) -> list[str]:
        """For people."""
        rows = [f"{_seconds(phase)}  {'  ' * phase.depth}{phase.name}" for phase in self.phases]
        return [*rows, *(f"{name}: {value}" for name, value in self.figures.items())]

    def save(self) -> None:
        """Write them where the caller wants them."""
        if file := os.environ.get("HACTL_FIGURES"):
            values = {"phases": [asdict(phase) for phase in self.phases], "figures": self.figures}
            Path(file).write_text(json.dumps(values, indent=1) + "\n")


def _seconds(phase: Phase) -> str:
    return f"{phase.seconds:8.1f} s" if phase.seconds is not None else "       ? s"


RUN = Phases()
