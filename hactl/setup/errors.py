"""Why a part of the setup was not done."""

from __future__ import annotations

from hactl.admin.errors import BadInputError, RefusedError

__all__ = ["BadInputError", "NotYetError", "RefusedError"]


class NotYetError(RefusedError):
    """It is not there after the time that was given; a repeat goes on."""
