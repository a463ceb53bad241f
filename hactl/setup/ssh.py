"""Has another machine do something by ssh. A bundle goes over standard input, so that no file of it stays there."""

from __future__ import annotations

import shlex
from pathlib import Path

from hactl.setup.errors import RefusedError
from hactl.setup.files import Say
from hactl.setup.machine import command
from hactl.setup.plan import Host

_LIMIT_S = 180.0
_NO_LOGIN = 255
_GOES_ON = "(then repeat this command: it goes on)"


def join_by_ssh(host: Host, bundle: str, user: str, say: Say) -> None:
    """`bundle`: its file here. Raises RefusedError, with what to do."""
    _ssh(host, ["hactl", "setup", "join", "-"], user, say, by_hand(host, bundle), Path(bundle).read_bytes())


def run_by_ssh(host: Host, line: str, user: str, say: Say) -> None:
    """Run a line of shell as root there. Raises RefusedError, with what to do."""
    _ssh(host, ["sh", "-c", line], user, say, f"on {host.name}: {line}")


def _ssh(host: Host, words: list[str], user: str, say: Say, by_hand: str, content: bytes | None = None) -> None:
    sudo = [] if user == "root" else ["sudo", "-n"]
    argv = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-l", user, host.address]
    done = command([*argv, "--", shlex.join([*sudo, *words])], timeout_s=_LIMIT_S, input=content)
    for line in done.stdout.splitlines():
        say(f"{host.name}: {line}")
    if done.ok:
        return
    said = done.stderr.strip() or done.describe()
    if done.returncode == _NO_LOGIN:
        raise RefusedError(
            f"{host.name}: cannot log in as {user} at {host.address}: {said}; `ssh {user}@{host.address} true` must "
            f"work without a question. Or without --ssh: {by_hand}"
        )
    if done.returncode == 127:
        raise RefusedError(f"{host.name}: {said}; install hactl's package there, then repeat this: it goes on")
    raise RefusedError(f"{host.name}: {said.removeprefix('error: ')}\n{_GOES_ON}")


def by_hand(host: Host, bundle: str) -> str:
    """What to type for a machine."""
    return f"scp {bundle} root@{host.address}: ; there: hactl setup join {Path(bundle).name}"
