"""The daemon and systemd: sd_notify(3) tells it that the daemon is ready, alive, stopping. Nothing without systemd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path

from hactl.decide.reading import ReadState
from hactl.linux.errors import OperationError

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


def in_a_line(state: ReadState) -> str:
    """For `systemctl status`."""
    if state.phase == "listing" and state.list_problem:
        return f"waits for etcd: {state.list_problem}"
    return state.refused or f"{state.phase}, {sum(run.running for run in state.all_here())} groups run here"


def _booted() -> bool:
    """Whether systemd runs this machine. Source: sd_booted(3)."""
    return Path("/run/systemd/system").is_dir()


async def machine_goes_down() -> bool:
    """Whether systemd is shutting the machine down, or takes it out of use (`rescue.target`): then the resources here
    cannot be left running. Not by the state of the system, which is `starting` until the boot has ended: an etcd that
    waits for its peers keeps it so."""
    if not _booted():
        return False
    from hactl.linux.systemd import Systemd  # noqa: PLC0415 - a daemon without units does without

    try:
        async with asyncio.timeout(ASK_S):
            return await Systemd().goes_down()
    except (OperationError, TimeoutError):
        return False
