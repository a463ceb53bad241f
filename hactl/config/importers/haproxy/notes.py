"""What an import has to say: each with the line it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# raw: kept word for word; left: hactl itself sees to it; lost: could not be carried over; hint: worth knowing.
Fate = Literal["raw", "left", "lost", "hint"]


@dataclass(frozen=True, slots=True)
class Note:
    """One remark. `line`: 0 where it is about none. `text`: the directive. `why`: for the operator."""

    fate: Fate
    line: int
    text: str
    why: str

    def __str__(self) -> str:
        text = f"line {self.line}: `{self.text}`" if self.line else self.text
        return f"{text}: {self.why}" if self.why else text
