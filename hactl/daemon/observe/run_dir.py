"""Looks after `run_dir`: somebody may empty it (systemd-tmpfiles, a cron job), or it may be full."""

from __future__ import annotations

import time
from pathlib import Path

from hactl.daemon.parts.private_files import make_run_dir
from hactl.linux.atomic_write import write_atomically
from hactl.supervise import describe

MARK = "in-use"
# How often it is tried whether it can be written; and for how long it is told that it was emptied.
TRY_S, TELL_S = 5.0, 900.0

_WORDS = "Files of a running hactl daemon, its guard and what they supervise: remove none while they run.\n"


class RunDir:
    """`look` is called often, on any thread; it returns the problem, and what to do, or "" twice. `emptied` counts how
    often it was."""

    def __init__(self, path: str) -> None:
        self._mark = Path(path, MARK)
        self._began = False
        self._emptied_at: float | None = None
        self.emptied = 0
        self._tried_at = -TRY_S
        self._problem = ""

    def look(self) -> tuple[str, str]:
        """See whether it is as it was left; missing files are made again by the parts that need them."""
        now_s = time.monotonic()
        if self._began and not self._mark.exists() and not self._problem:
            self._emptied_at = now_s
            self.emptied += 1
            self._tried_at = now_s - TRY_S
        if now_s - self._tried_at >= TRY_S:
            self._tried_at = now_s
            self._problem = self._try()
            self._began = True
        place = self._mark.parent
        if self._problem:
            return f"its run_dir cannot be written: {self._problem}", f"make room in {place}: it goes on by itself then"
        if self._emptied_at is not None and now_s - self._emptied_at < TELL_S:
            problem = "its run_dir was emptied by something; what runs goes on, and what is needed there is made again"
            return problem, f"find what removes files in {place} (systemd-tmpfiles, a cron job), and keep it from that"
        return "", ""

    def _try(self) -> str:
        try:
            make_run_dir(self._mark.parent)
            write_atomically(self._mark, _WORDS, durable=False)
        except OSError as error:
            return describe(error)
        return ""
