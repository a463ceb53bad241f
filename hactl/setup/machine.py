"""This machine, as setup uses it: its addresses, programs, units. Tests put another one in its place."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hactl.linux.run import Completed, run
from hactl.setup.errors import RefusedError
from hactl.setup.files import Files, Say

COMMAND_S = 60.0


class UnitState(NamedTuple):
    """A unit, as systemd shows it. `there`: it has a file; `enabled`: at boot; `active`: it runs, or begins to."""

    there: bool = False
    enabled: bool = False
    active: bool = False
    failed: bool = False
    drop_ins: tuple[str, ...] = ()


def command(
    argv: Sequence[str],
    *,
    timeout_s: float = COMMAND_S,
    input: str | bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run a command to its end. Raises OperationError where it cannot be started."""
    return asyncio.run(run(argv, timeout_s=timeout_s, input=input, env=env, max_output=1 << 20))


def must(argv: Sequence[str], *, timeout_s: float = COMMAND_S, input: str | bytes | None = None) -> str:
    """The output of a command that must not fail. Raises RefusedError."""
    done = command(argv, timeout_s=timeout_s, input=input)
    if not done.ok:
        raise RefusedError(f"`{' '.join(argv[:3])}` {done.describe()}")
    return done.stdout


class Machine:
    """The real one."""

    def files(self, say: Say) -> Files:
        """What writes its files."""
        return Files(self.owner, say)

    def uid(self) -> int:
        """Who runs this."""
        return os.geteuid()

    def addresses(self) -> set[str]:
        """All IP addresses of this machine. Raises OSError."""
        from hactl.linux import netlink  # noqa: PLC0415 - large

        return {str(known.ip.ip) for version in (4, 6) for known in netlink.addresses(version)}

    def missing(self, programs: Sequence[str]) -> list[str]:
        """Those that are not installed."""
        return [program for program in programs if shutil.which(program) is None]

    def owner(self, user: str) -> tuple[int, int]:
        """User and group number. Raises KeyError."""
        known = pwd.getpwnam(user)
        return known.pw_uid, known.pw_gid

    def now(self) -> float:
        """Wall time, in seconds since 1970."""
        return time.time()

    def free_bytes(self, directory: str) -> int:
        """Room on the file system that holds the directory, or will."""
        while not os.path.isdir(directory):  # noqa: PTH112
            directory = os.path.dirname(directory)  # noqa: PTH120
        return shutil.disk_usage(directory).free

    def unit(self, name: str) -> UnitState:
        """A unit's state."""
        properties = "LoadState,UnitFileState,ActiveState,DropInPaths"
        text = must(["systemctl", "show", name, f"--property={properties}"])
        shown = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        return UnitState(
            there=shown.get("LoadState") == "loaded",
            enabled=shown.get("UnitFileState") in ("enabled", "enabled-runtime"),
            active=shown.get("ActiveState") in ("active", "activating", "reloading"),
            failed=shown.get("ActiveState") == "failed",
            drop_ins=tuple(shown.get("DropInPaths", "").split()),
        )

    def last_reason(self, unit: str) -> str:
        """Why a daemon of hactl has ended, as its log says."""
        lines = command(["journalctl", f"--unit={unit}", "--output=cat", "--lines=100"]).stdout.splitlines()
        for line in reversed(lines):
            with contextlib.suppress(ValueError, TypeError, KeyError):
                return str(json.loads(line)["reason"])
        return f"`journalctl -u {unit}`"

    def reload_units(self) -> None:
        """Have systemd read the units' files again."""
        must(["systemctl", "daemon-reload"])

    def enable(self, unit: str) -> None:
        """Have it started at boot."""
        must(["systemctl", "enable", "--quiet", unit])

    def start(self, unit: str) -> None:
        """Have it started; does not wait for that: etcd's first start waits for a majority."""
        must(["systemctl", "start", "--no-block", unit])

    def restart(self, unit: str, *, wait: bool = False) -> None:
        """Have it started anew. `wait`: return when it says that it is ready."""
        must(["systemctl", "restart", *([] if wait else ["--no-block"]), unit])

    def stop(self, unit: str) -> None:
        """Stop it, and wait for that."""
        must(["systemctl", "stop", unit])

    def disable(self, unit: str) -> None:
        """Stop it, and have it not started at boot."""
        must(["systemctl", "disable", "--quiet", "--now", unit])


class UnchangedMachine(Machine):
    """The real one, of which nothing is changed: to say what would be."""

    def files(self, say: Say) -> Files:
        """What says which files would be written."""
        return Files(self.owner, say, dry=True)

    def reload_units(self) -> None:
        """Nothing."""

    def enable(self, unit: str) -> None:
        """Nothing."""

    def restart(self, unit: str, *, wait: bool = False) -> None:
        """Nothing."""

    start = stop = disable = enable
