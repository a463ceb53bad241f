"""structlog for the daemon: key=value on a terminal, JSON under systemd; one event name for each kind of event.

All output of this process goes through one LogWriter: that of asyncio, Python's warnings and its last words as well.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from typing import Any

import structlog

from hactl.daemon.log.writer import LogWriter
from hactl.model.text import escaped

# How long the daemon's end waits for its last words.
FINISH_S = 1.0


def configure(style: str, level: str, node: str) -> LogWriter:
    """`style`: auto, text or json; `level`: the least that is logged. Standard error is the log from now on."""
    writer = LogWriter(_standard_error(), _say_lost)
    as_text = style == "text" or (style == "auto" and writer.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=writer.isatty()) if as_text else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *((_printable,) if as_text else ()),
            _rendered_by(renderer),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(writer),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(node=node)
    sys.stderr = sys.stdout = _Escaping(writer)
    return writer


class _Escaping(io.TextIOBase):
    """For the output of libraries and of Python itself: it may contain texts of others, too."""

    def __init__(self, to: LogWriter) -> None:
        self._to = to

    def write(self, text: str) -> int:
        """Take a text."""
        self._to.write(escaped(text, keep="\n\t"))
        return len(text)

    def writable(self) -> bool:
        """It is."""
        return True

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._to.isatty()


def _printable(
    _logger: structlog.typing.WrappedLogger, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """As text, a line is a line, also with texts of etcd, agents or HAProxy in it. JSON escapes all of it by itself."""
    return {name: _plain(value, "\n\t" if name == "exception" else "") for name, value in event.items()}


def _plain(value: Any, keep: str) -> Any:
    return value if isinstance(value, int | float | None) else escaped(str(value), keep)


def say(text: str) -> None:
    """For the starter of this process; where that fails, the exit status tells."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def _rendered_by(renderer: structlog.typing.Processor) -> structlog.typing.Processor:
    """An event that cannot be rendered (a value of a strange kind, half a character) is written as its repr."""

    def render(logger: structlog.typing.WrappedLogger, name: str, event: structlog.typing.EventDict) -> str:
        try:
            return str(renderer(logger, name, event))
        except Exception as error:
            return f"cannot be rendered ({type(error).__name__}): {event!r}"

    return render


def _say_lost(lines: int, reason: str) -> None:
    structlog.get_logger().warning("log_lines_lost", lines=lines, reason=reason)


def _standard_error() -> int:
    """A descriptor of its own for the log. Numbers 0 to 2 are never left to be given to another file, on which a
    library would then write."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    return os.dup(2)
