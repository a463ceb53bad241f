"""Why a part of the setup was not done."""

from __future__ import annotations

from hactl.admin.errors import RefusedError

__all__ = ["BadInputError", "NotYetError", "RefusedError"]


class BadInputError(RefusedError):
    """What was typed, or a file that was given, is wrong. The message gives the problem and what to type."""


class NotYetError(RefusedError):
    """It is not there after the time that was given; a repeat goes on."""
