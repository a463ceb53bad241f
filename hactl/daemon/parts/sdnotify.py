"""The daemon and systemd: sd_notify(3) tells it that the daemon is ready, alive, stopping. Nothing without systemd."""

from __future__ import annotations

import contextlib
import os
import socket

from hactl.linux.errors import OperationError
from hactl.linux.run import run

ASK_S = 2.0


class Notifier:
    """Speaks to the socket in NOTIFY_SOCKET; silent where there is none."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        self._status = ""
        self._ready = False

    @property
    def watchdog_s(self) -> float | None:
        """How often at the latest systemd wants to hear that the daemon lives; None: it does not ask."""
        micros = os.environ.get("WATCHDOG_USEC")
        pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
        return int(micros) / 2e6 if micros and pid == str(os.getpid()) else None

    def ready(self) -> None:
        """The daemon serves; said once."""
        if not self._ready:
            self._ready = True
            self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def alive(self) -> None:
        """The loop makes progress."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The daemon is about to end."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if self._address:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
                link.sendto(text.encode(), self._address)


async def machine_goes_down() -> bool:
    """Whether systemd is shutting the machine down: then the resources here cannot be left running."""
    try:
        return (await run(["systemctl", "is-system-running"], timeout_s=ASK_S)).stdout.strip() == "stopping"
    except OperationError:
        return False
