"""structlog for the daemon: key=value on a terminal, JSON under systemd; one event name a thing that happens.

Everything that this process says goes through one LogWriter: what asyncio, Python's warnings and its last words say as
well.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys

import structlog

from hactl.daemon.log_writer import LogWriter

# What the daemon's end waits for its last words.
FINISH_S = 1.0


def configure(how: str, level: str, node: str) -> LogWriter:
    """`how`: auto, text or json; `level`: the least that is logged. Standard error is the log from now on."""
    writer = LogWriter(_standard_error(), _say_lost)
    as_text = how == "text" or (how == "auto" and writer.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=writer.isatty()) if as_text else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _rendered_by(renderer),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(writer),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(node=node)
    sys.stderr = sys.stdout = writer
    return writer


def say(text: str) -> None:
    """For whoever started this process; where that cannot be said, its exit status says it."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def _rendered_by(renderer: structlog.typing.Processor) -> structlog.typing.Processor:
    """What cannot be rendered (a value of a strange kind, half a character) is said as it can be."""

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
