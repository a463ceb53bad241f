"""Plain text for people: aligned columns, colours on a terminal only, no wider than it is."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import NamedTuple, TextIO

from hactl.model.text import escaped

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}

_BY_WORD = {
    "green": {"online", "running", "up", "safe", "ok", "owned"},
    "red": {
        *("dead", "failed", "lost", "blocked", "down", "unowned", "released", "absent", "error", "acting", "pending"),
        "unreadable",
        "nowhere",
    },
    "yellow": {
        "standby",
        "starting",
        "stopping",
        "handoff",
        "unknown",
        "unmanaged",
        "warning",
        "fence pending",
        "partial",
    },
    "dim": {"disabled", "stopped", "notice"},
}

WIDEST = 10_000


# Stands for the terminal's ESC until `shown`. Text from elsewhere cannot have it in it, so that its ESC is told from
# ours.
ESCAPE = f"\ue000{os.urandom(8).hex()}\ue000"


def shown(text: str) -> str:
    """As it is written out: characters that a terminal would act on are escaped, but for line breaks, tabs and our own
    colours. All output of the commands goes through this."""
    return "\033".join(escaped(part, keep="\n\t") for part in text.split(ESCAPE))


class Style(NamedTuple):
    """How to write: with colours or without, and how wide."""

    colour: bool = False
    width: int = WIDEST

    @classmethod
    def of(cls, stream: TextIO | None = None) -> Style:
        """The style for a stream: colours and a width on a terminal only (https://no-color.org)."""
        stream = stream or sys.stdout
        if not stream.isatty():
            return cls()
        colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(colour, max(40, shutil.get_terminal_size().columns))

    def paint(self, text: str, colour: str = "") -> str:
        """`text` in a colour; without one, in that of the word it begins with, if that has one."""
        if not self.colour or not text.strip():
            return text
        if not colour:
            word = text.strip().lower().replace("_", " ")
            words = (word, word.partition(" ")[0])
            colour = next((name for name, known in _BY_WORD.items() if not known.isdisjoint(words)), "")
        return f"{ESCAPE}[{_COLOURS[colour]}m{text}{ESCAPE}[0m" if colour else text


def table(head: Sequence[str], rows: Sequence[Sequence[str]], style: Style, painted: Sequence[int] = ()) -> list[str]:
    """Aligned columns under a head; the columns `painted` in the colours of their words. The last one is cut, with
    an ellipsis, at the width."""
    if not rows:
        return []
    rows = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    left = sum(widths[:-1]) + 2 * (len(head) - 1)
    widths[-1] = min(widths[-1], max(8, style.width - left))
    lines = [style.paint(_line([cell.ljust(width) for cell, width in zip(head, widths, strict=True)]), "dim")]
    for row in rows:
        cells = [shorten(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append(_line([style.paint(cell) if index in painted else cell for index, cell in enumerate(cells)]))
    return lines


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cells).rstrip()


def shorten(text: str, width: int) -> str:
    """`text`, or as much of it as fits."""
    return text if len(text) <= width else text[: max(1, width - 1)] + "…"


def wrap(text: str, width: int, indent: str) -> list[str]:
    """Lines of at most `width`; those after the first begin with `indent`."""
    lines, line = [], ""
    for word in text.split():
        if line.strip() and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = indent + word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def duration(ms: float | None) -> str:
    """As an operator reads it: 250 ms, 3.2 s, 5 min, 2 h, 3 d."""
    if ms is None:
        return ""
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 120_000:
        return f"{ms / 1000:.1f} s"
    for unit, size, below in (("min", 60_000, 7_200_000), ("h", 3_600_000, 172_800_000)):
        if ms < below:
            return f"{ms / size:.0f} {unit}"
    return f"{ms / 86_400_000:.0f} d"
