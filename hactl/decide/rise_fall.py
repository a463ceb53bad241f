"""When the answers to a check count: so many bad ones in a row are a failure, so many good ones after that its end.
Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class RiseFall:
    """The answers of one check so far. It begins well. `in_a_row`: the last answers that say otherwise than `failed`;
    one that agrees begins the count anew."""

    rise: int
    fall: int
    failed: bool = False
    in_a_row: int = 0

    def see(self, good: bool, *, certain: bool = False) -> bool:
        """Take an answer; whether it has failed now. A bad one that is `certain` counts at once."""
        if good != self.failed:
            self.in_a_row = 0
            return self.failed
        self.in_a_row += 1
        if self.in_a_row >= (self.rise if self.failed else 1 if certain else self.fall):
            self.failed, self.in_a_row = not self.failed, 0
        return self.failed
