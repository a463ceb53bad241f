"""Why an action was not carried out."""

from __future__ import annotations


class RefusedError(Exception):
    """It was not done. The message gives the reason, and the solution."""


class HarmError(RefusedError):
    """It would hurt what runs. The message says what; asked for again with `force`, it is done."""


class BadInputError(RefusedError):
    """What was typed, or a file that was given, is wrong. The message gives the problem and what to type."""


class NoSuchError(BadInputError):
    """The named object does not exist."""


class WaitError(RefusedError):
    """Not yet: in `wait_ms` it may be asked again."""

    def __init__(self, message: str, wait_ms: float) -> None:
        super().__init__(message)
        self.wait_ms = wait_ms
