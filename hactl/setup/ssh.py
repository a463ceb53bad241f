"""Has another machine join by ssh: the bundle goes over standard input, so that no file of it stays there."""

from __future__ import annotations

from pathlib import Path

from hactl.setup.errors import RefusedError
from hactl.setup.files import Say
from hactl.setup.machine import command
from hactl.setup.plan import Host

_JOIN_S = 180.0
_NO_LOGIN = 255


def join_by_ssh(host: Host, bundle: str, user: str, say: Say) -> None:
    """`bundle`: its file here. Raises RefusedError, with what to do."""
    sudo = [] if user == "root" else ["sudo", "-n"]
    argv = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-l", user, host.address]
    argv += ["--", *sudo, "hactl", "setup", "join", "-"]
    done = command(argv, timeout_s=_JOIN_S, input=Path(bundle).read_bytes())
    for line in done.stdout.splitlines():
        say(f"{host.name}: {line}")
    if done.ok:
        return
    words = done.stderr.strip() or done.describe()
    if done.returncode == _NO_LOGIN:
        raise RefusedError(
            f"{host.name}: cannot log in as {user} at {host.address}: {words}; `ssh {user}@{host.address} true` must "
            f"work without a question. Or without --ssh: {by_hand(host, bundle)}"
        )
    if done.returncode == 127:
        raise RefusedError(f"{host.name}: {words}; install hactl's package there, then repeat this: it goes on")
    raise RefusedError(f"{host.name}: {words.removeprefix('error: ')}\n(then repeat `hactl setup`: it goes on)")


def by_hand(host: Host, bundle: str) -> str:
    """What to type for a machine."""
    return f"scp {bundle} root@{host.address}: ; there: hactl setup join {Path(bundle).name}"
