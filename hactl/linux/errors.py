"""The error of operations on this machine."""

from __future__ import annotations


class OperationError(Exception):
    """An operation on this machine failed. The message tells the operator what failed and what to look at."""
