"""Where the output of a supervised process goes: to systemd's journal, else to a file.

Never to the daemon: its end would break the pipe, and the process with it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

_JOURNAL = "/run/systemd/journal/stdout"
# How large a file grows before it is cut (output_keeper.py), or put aside at the next start.
MAX_BYTES = 4 * 1024 * 1024


def open_output(name: str, log_file: str) -> int:
    """A descriptor for the standard output and error of the process `name`; the caller closes it.

    The journal where there is one. Else `log_file`, which is put aside as `.1` when it has grown large. Where that
    cannot be had, nowhere: no process is kept from running by its words.
    """
    with contextlib.suppress(OSError):
        return _journal(name)
    try:
        return _file(Path(log_file))
    except OSError as error:
        log.warning("process.output_lost", process=name, problem=str(error))
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _file(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > MAX_BYTES:
            path.replace(f"{path}.1")
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def last_line(log_file: str) -> str:
    """The last line of a log file, for messages; "" where there is none."""
    try:
        with Path(log_file).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 2048))
            lines = file.read().decode(errors="replace").strip().split("\n")
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""


def _journal(name: str) -> int:
    """A stream to the journal. Source: systemd's journal native protocol for streams, sd_journal_stream_fd(3):
    identifier, unit, priority, whether lines carry a level, and three forwarding switches, a line each."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.settimeout(1.0)
        stream.connect(_JOURNAL)
        stream.sendall(f"hactl-{name}\n\n6\n1\n0\n0\n0\n".encode())
        stream.shutdown(socket.SHUT_RD)
        stream.setblocking(True)
        return stream.detach()
