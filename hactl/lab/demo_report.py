"""The demo's results: the figures, the verdicts on them, and their display."""

from __future__ import annotations

import math
import os
import platform
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, TextIO

from hactl import __version__
from hactl.decide.timing import PROFILES, worst_case_ms
from hactl.lab.client import Result
from hactl.model.cluster import GroupSpec

# Lost requests of a planned move with `overlap: true`.
OVERLAP_LOST_ALLOWED = 0
# A node that was powered on takes part again, and its servers get requests, within this time.
BACK_S = 30.0
# The lab's service is a small Python program: from its start, which is the cluster's, until it listens.
PROGRAM_MS = 1000.0

WIDTH = 60
# The milestones of a takeover (hactl.daemon.parts.ledger), in words.
MARKS = {
    "silent": "the last that was seen of the lost node",
    "over": "its lease is over for certain: it has stopped everything by now",
    "deposed": "its session is ended, in etcd",
    "acquired": "the group is owned by this node, in etcd",
    "running": "all of it runs",
}


@dataclass(frozen=True, slots=True)
class Recovery:
    """The power cut. `client`: by group, as Result.summary; `timelines`: as `hactl timeline --json`."""

    node: str
    to: str
    held_etcd_leader: bool
    cut_ms: float
    client: dict[str, dict[str, Any]]
    timelines: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Move:
    """A planned move. `client`: as Result.summary."""

    group: str
    from_node: str
    to: str
    client: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Overlaps:
    """How often two nodes had at one time: the overlapping group's addresses, but for its planned moves; the service's
    address; the service itself. `epochs_grow`: every later run of the service had a higher epoch."""

    vip: int
    service_address: int
    service: int
    epochs_grow: bool


class Verdict(NamedTuple):
    """Something promised, and the measurement. `ok`: as promised, or (`promised` is "") nothing is."""

    subject: str
    promised: str
    measured: str
    ok: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"what": self.subject, "promised": self.promised, "found": self.measured, "ok": self.ok}


@dataclass(slots=True)
class Figures:
    """All that was measured. None: the demo did not get there."""

    profile: str
    power_cut: Recovery | None = None
    move_vip: Move | None = None
    move_service: Move | None = None
    back_s: float | None = None
    overlaps: Overlaps | None = None
    seconds: float = 0.0
    machine: dict[str, Any] = field(
        default_factory=lambda: {
            "cpus": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
        }
    )

    @property
    def promised_ms(self) -> float:
        """The longest that a takeover by lease takes, starts apart (`hactl config check` shows the sum)."""
        bound = worst_case_ms(PROFILES[self.profile], GroupSpec("any", ())).takeover_ms  # type: ignore[index]
        assert bound is not None
        return bound

    def as_dict(self, verdicts: list[Verdict]) -> dict[str, Any]:
        """For JSON."""
        return {
            "version": __version__,
            "ok": all(verdict.ok for verdict in verdicts),
            "promised_ms": self.promised_ms,
            **asdict(self),
            "verdicts": [verdict.as_dict() for verdict in verdicts],
        }


def judge(figures: Figures) -> list[Verdict]:
    """Whether all is as promised. Raises ValueError when the demo did not come to its end."""
    cut, vip, service, seen = figures.power_cut, figures.move_vip, figures.move_service, figures.overlaps
    if cut is None or vip is None or service is None or seen is None or figures.back_s is None:
        raise ValueError("the demo did not come to its end")
    lost = vip.client["failed"]
    share, few = f"{lost} of {lost + vip.client['good']}", lost <= OVERLAP_LOST_ALLOWED
    twice = seen.vip + seen.service_address + seen.service
    return [
        *(_outage(figures, cut, group) for group in cut.client),
        Verdict("planned move of the address: requests lost", f"{OVERLAP_LOST_ALLOWED}", share, few),
        Verdict("planned move of the service: outage", "", f"{service.client['outage_ms']:.0f} ms", True),
        _moved("the address", vip),
        _moved("the service", service),
        Verdict(f"{cut.node} is back", f"within {BACK_S:g} s", f"{figures.back_s:.1f} s", figures.back_s <= BACK_S),
        Verdict("two holders at one time", "never", f"{twice} times" if twice else "never", not twice),
        Verdict("epochs grow", "always", "always" if seen.epochs_grow else "not always", seen.epochs_grow),
    ]


def _outage(figures: Figures, cut: Recovery, group: str) -> Verdict:
    """The cluster's part is promised; the start of the group's own resources is added as it was measured."""
    starts = [timeline["phases"].get("start", 0.0) for timeline in cut.timelines if timeline["group"] == group]
    bound = figures.promised_ms + max(starts, default=0.0) + (PROGRAM_MS if group == "service" else 0.0)
    measured = cut.client[group]["outage_ms"]
    return Verdict(f"power cut: outage of {group}", f"<= {bound:.0f} ms", f"{measured:.0f} ms", measured <= bound)


def _moved(subject: str, move: Move) -> Verdict:
    there = f"{move.from_node} to {move.to}"
    return Verdict(f"planned move of {subject}", "to another node", there, move.from_node != move.to)


def strip(seen: Result, interval_ms: float, width: int = WIDTH) -> str:
    """The client's time as a line: `#` there were answers, `.` there were none."""
    step = max((seen.end_ms - seen.begin_ms) / width, 3 * interval_ms)
    count = max(1, math.ceil((seen.end_ms - seen.begin_ms) / step))
    cells = ["."] * count
    for answer in seen.answers:
        cells[min(count - 1, max(0, int((answer.at_ms - seen.begin_ms) / step)))] = "#"
    return "".join(cells)


class Screen:
    """The demo's output. Headings are bold on a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._acts = out, 0
        self._bold = out.isatty() and not os.environ.get("NO_COLOR")

    def head(self, text: str) -> None:
        """A new act."""
        self._acts += 1
        line = f"{self._acts}. {text}"
        self._write(f"\n\033[1m{line}\033[0m" if self._bold else f"\n{line}")

    def say(self, *lines: str) -> None:
        """Plain words."""
        for line in lines:
            self._write(f"   {line}".rstrip())

    def client(self, group: str, cells: str, words: str) -> None:
        """The client's view: a strip of its time, and in words."""
        self._write(f"\n   client  |{cells}|\n           {group}: {words}")

    def timeline(self, takeover: dict[str, Any]) -> None:
        """A takeover, as `hactl timeline --json` has it."""
        self._write(f"\n   {takeover['group']}, {takeover['from']} to {takeover['to']}")
        for mark, ms in takeover["marks"].items():
            self._write(f"   {ms:8.0f} ms  {MARKS.get(mark) or mark.removeprefix('started:') + ' started'}")

    def command(self, node: str, words: str, output: str) -> None:
        """A command on a node, and its output."""
        self._write(f"\n   {node}# hactl {words}")
        for line in output.rstrip().splitlines():
            self._write(f"   {line}".rstrip())

    def verdicts(self, verdicts: list[Verdict]) -> None:
        """The end: the promises, and the measurements."""
        self.head("What was promised, and what was found")
        widths = [max(len(verdict[column]) for verdict in verdicts) for column in range(3)]  # type: ignore[arg-type]
        for verdict in verdicts:
            mark = "WRONG" if not verdict.ok else "ok" if verdict.promised else ""
            cells = [str(cell).ljust(width) for cell, width in zip(verdict[:3], widths, strict=True)]
            self._write(f"   {mark:<6}{'  '.join(cells)}".rstrip())

    def _write(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()
