"""A transcript: text, commands (`> `), and below each what happened then, indented. All but that is written by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent
COMMAND = "> "
INDENT = "  "


@dataclass
class Script:
    """The lines of the file without what happened: text and commands."""

    path: Path
    lines: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Script:
        """What a person has written of it."""
        lines = path.read_text().splitlines()
        return cls(path, [line for line in lines if not line.startswith(INDENT)])


def transcripts() -> list[Path]:
    """All of them, by name."""
    return sorted(FOLDER.glob("*.txt"))


def is_command(line: str) -> bool:
    return line.startswith(COMMAND)
