"""A lab without root: all of it inside a user namespace of one's own, where the kernel lets one have it.

The namespace is made by the first command and held by one process until the last lab is down; later commands
enter it. /run is another one in there, so nothing of the machine's is seen or changed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hactl.lab import cgroup
from hactl.lab.system import LabError

_MADE = (
    "mount -t tmpfs -o mode=755 none /run && mkdir /run/netns || exit 2; "
    'holder=$1; shift; setsid sleep infinity </dev/null >/dev/null 2>&1 & echo $! >"$holder"; exec "$@"'
)


def in_user_namespace() -> bool:
    """Whether this process' root is not the machine's."""
    fields = Path("/proc/self/uid_map").read_text().split()
    return fields != ["0", "0", "4294967295"]


def ensure(argv: Sequence[str]) -> None:
    """Return if this process can make a lab; else become `argv` again in a user namespace that can. Raises
    LabError with the reason where neither is possible."""
    if os.geteuid() == 0:
        return
    cgroup.base()  # its error says how to have a cgroup delegated
    holder = _holder_file()
    if (pid := _holder(holder)) is not None:
        enter = ["nsenter", f"--target={pid}", "--user", "--mount", "--net", "--preserve-credentials"]
        enter += ["sh", "-c", 'cd "$0" && exec "$@"', str(Path.cwd()), *argv]
        os.execvp(enter[0], enter)
    if trial := _refused():
        raise LabError(
            f"the lab needs root, or a user namespace of its own, which is refused here: {trial}. Run as root, or "
            "allow it: sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000 "
            "kernel.apparmor_restrict_unprivileged_userns=0 (those of them that exist)"
        )
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "--net", "sh", "-c", _MADE, "sh", str(holder)]
    os.execvp(unshare[0], [*unshare, *argv])


def let_go() -> None:
    """The last lab is down: end the process that holds the user namespace."""
    if not in_user_namespace():
        return
    holder = _holder_file()
    if (pid := _holder(holder)) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    holder.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        holder.parent.rmdir()


def _refused() -> str:
    trial = ["unshare", "--user", "--map-root-user", "--mount", "--net", "true"]
    done = subprocess.run(trial, capture_output=True, text=True, timeout=10, check=False)
    return done.stderr.strip() if done.returncode else ""


def _holder_file() -> Path:
    """Where the holder's process id is, the same place outside and inside."""
    outer_uid = os.environ.get("HACTL_LAB_UID") or str(os.geteuid())
    os.environ["HACTL_LAB_UID"] = outer_uid
    directory = Path("/tmp") / f"hactl-lab-{outer_uid}"
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_uid != os.geteuid() or directory.is_symlink():
        raise LabError(f"{directory} belongs to somebody else: remove it")
    return directory / "holder"


def _holder(file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        pid = int(file.read_text())
        if Path(f"/proc/{pid}/comm").read_text().strip() == "sleep":
            return pid
    return None


def main() -> None:
    """`python -m hactl.lab.privileges COMMAND...`: run a command where a lab can be made: demo and tests."""
    argv = sys.argv[1:]
    try:
        ensure(argv)
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main()
