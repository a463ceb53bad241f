"""HAProxy's configuration file: staged, validated by HAProxy itself, renamed into place, taken back."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hactl.haproxy.control.atomic import read_text, write_text
from hactl.haproxy.control.kept_file import KeptFile
from hactl.haproxy.render.document import fingerprint
from hactl.haproxy.settings import HaproxyError, HaproxySettings
from hactl.linux.errors import OperationError
from hactl.linux.run import run

# Read at 200 services in far less than a second; the rest is for a machine that is busy.
_VALIDATE_TIMEOUT_S = 20.0
# Alerts of HAProxy that do not name a problem.
_TELLS_NOTHING = ("Error(s) found", "Fatal errors found", "has no server available", "exit-on-failure")
# An empty text of servers' states, in HAProxy's format 1: without a file it would warn at each start.
NOTHING_KNOWN = "1\n"
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """The result of `ensure`. `changed`: HAProxy runs with another configuration than before. `error`: why it does not
    run with the wanted one; "" when it does. `reason`: for `runtime` the changes, for `reload` why commands were not
    enough."""

    changed: bool
    step: Literal["none", "runtime", "reload", "start", "stop"]
    duration_s: float
    error: str = ""
    reason: str = ""


class InvalidConfigError(HaproxyError):
    """HAProxy refuses the configuration. The message holds its own words."""


class ConfigFiles:
    """The file that HAProxy reads and the copy of the one with which it is known to run.

    The copy is written when HAProxy has taken the file, so that a daemon that dies in between is followed by
    one that sees that the last step is missing.
    """

    def __init__(self, settings: HaproxySettings, kept_file: str = "") -> None:
        self.settings = settings
        self.kept = KeptFile(kept_file, settings.stats_socket)
        self._fingerprint: tuple[int, str] = (0, "")

    def fingerprint(self) -> str:
        """That of the good file, "" when there is none. Cheap while the file stays."""
        try:
            written = Path(self.settings.good_file).stat().st_mtime_ns
        except OSError:
            return ""
        if written != self._fingerprint[0]:
            self._fingerprint = (written, fingerprint(self.good() or "", self.settings.run_dir))
        return self._fingerprint[1]

    def good(self) -> str | None:
        """The configuration with which HAProxy is known to run, or ran last."""
        return read_text(self.settings.good_file)

    async def validate(self, text: str) -> None:
        """Stage `text` and have HAProxy check it. Raises InvalidConfigError, HaproxyError."""
        staged = self.settings.staged_file
        write_text(staged, text)
        argv = [find_haproxy(self.settings.binary), "-W", "-c", "-f", staged]
        try:
            done = await run(argv, timeout_s=_VALIDATE_TIMEOUT_S)
        except OperationError as error:
            raise HaproxyError(str(error)) from None
        if done.timed_out:
            raise HaproxyError(f"{' '.join(argv)} did not end within {_VALIDATE_TIMEOUT_S} s")
        if done.returncode != 0:
            raise InvalidConfigError(f"HAProxy refuses its configuration: {alerts(done.stderr or done.stdout)}")

    def mark_good(self) -> None:
        """HAProxy has taken the file that is in place."""
        write_text(self.settings.good_file, self.placed())

    def placed(self) -> str:
        """The text of the file that HAProxy reads; "" when there is none."""
        return read_text(self.settings.config_file) or ""

    def place(self, text: str) -> None:
        """Put `text` where HAProxy reads it."""
        write_text(self.settings.config_file, text)

    def note_good(self, text: str) -> None:
        """HAProxy runs, or is just about to run, with `text`, which it does not have to read: by commands."""
        write_text(self.settings.config_file, text)
        write_text(self.settings.good_file, text)

    def leave_health(self, text: str = NOTHING_KNOWN) -> None:
        """Leave the state of the servers for the next worker."""
        write_text(self.settings.health_file, text)

    def note_certificates(self, text: str) -> None:
        """Which certificates HAProxy has, for the next daemon."""
        write_text(self.settings.certificates_file, text)

    def noted_certificates(self) -> str:
        """The text noted last. Raises OSError."""
        return Path(self.settings.certificates_file).read_text()

    def forget(self) -> None:
        """HAProxy is not to run: leave nothing that could be started again."""
        settings = self.settings
        for file in (settings.config_file, settings.good_file, settings.health_file, settings.certificates_file):
            Path(file).unlink(missing_ok=True)


def alerts(output: str) -> str:
    """HAProxy's own words about its problems, without its notices."""
    words = [line.partition(" : ")[2].strip() or line for line in output.split("\n") if line.startswith("[ALERT]")]
    telling = [line for line in words if not any(phrase in line for phrase in _TELLS_NOTHING)]
    return "; ".join((telling or words)[:10]) or output.strip()[-500:] or "it does not say why"


def find_haproxy(binary: str) -> str:
    """The path of HAProxy's program. Raises HaproxyError."""
    program = shutil.which(binary, path=f"{os.environ.get('PATH', os.defpath)}:{_SBIN}")
    if program is None:
        raise HaproxyError(f"{binary} is not installed: install the package haproxy (2.4 or later)")
    return program
