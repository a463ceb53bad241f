"""The remarks of an import: each with the line it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# raw: kept word for word; left: hactl itself sees to it; lost: could not be carried over; hint: worth knowing.
Fate = Literal["raw", "left", "lost", "hint"]


@dataclass(frozen=True, slots=True)
class Note:
    """One remark. `line`: 0 where it is about none. `text`: the directive. `why`: for the operator. `file`: where there
    are several."""

    fate: Fate
    line: int
    text: str
    why: str = ""
    file: str = ""

    def __str__(self) -> str:
        place = f"{self.file}, line {self.line}" if self.file else f"line {self.line}"
        text = f"{place}: `{self.text}`" if self.line else self.text
        return f"{text}: {self.why}" if self.why else text
