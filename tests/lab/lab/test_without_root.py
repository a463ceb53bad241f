"""A lab without root: in a user namespace of its own; where that cannot be, the user is told the requirement."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hactl.lab.cgroup import Cgroup, mount_point

from .conftest import lab_name

pytestmark = [pytest.mark.root, pytest.mark.lab]

NOBODY = 65534

# As nobody, with a delegated cgroup $1 or none (""). Where nobody may not read the interpreter's directory ($2 is
# the one that is closed, $3 what is needed in it), a private view of it is made.
AS_NOBODY = """
set -e
if [ -n "$2" ]; then
  mount --bind "$3" /mnt && mount -t tmpfs -o mode=755 none "$2" && mkdir -p "$3"
  mount --bind /mnt "$3" && umount /mnt
fi
[ -z "$1" ] || echo 0 > "$1/cgroup.procs"
shift 3
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
"""


def as_nobody(group: str, *argv: str) -> subprocess.CompletedProcess[str]:
    needed = Path(sys.base_prefix).resolve()
    closed = [str(place) for place in reversed(needed.parents) if not place.stat().st_mode & 0o001]
    unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", AS_NOBODY, "sh", group]
    return subprocess.run(
        [*unshare, closed[0] if closed else "", str(needed), *argv],
        env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def delegated() -> Iterator[str]:
    group = Cgroup(mount_point() / f"hactl-test-delegated-{os.getpid()}")
    group.create()
    for path in (group.path, group.path / "cgroup.procs"):
        os.chown(path, NOBODY, NOBODY)
    yield str(group.path)
    group.remove()


def test_in_a_user_namespace(delegated: str) -> None:
    trial = as_nobody("", "unshare", "--user", "--map-root-user", "--mount", "--net", "true")
    if trial.returncode:
        pytest.skip(f"user namespaces are refused here: {trial.stderr.strip()}")
    lab = [sys.executable, "-m", "hactl.lab"]
    name = lab_name("u")
    try:
        up = as_nobody(delegated, *lab, "up", "--no-daemon", "--nodes", "1", "--profile", "fast", "--name", name)
        assert "n1    on     leader" in up.stdout, up.stderr
        probed = as_nobody(delegated, *lab, "probe", "10.77.0.11:8001", "--seconds", "0.3", "--name", name)
        assert '"failed": 0' in probed.stdout, probed.stderr
        killed = as_nobody(delegated, *lab, "kill", "n1", "--name", name)
        assert "power cut" in killed.stdout, killed.stderr
    finally:
        down = as_nobody(delegated, *lab, "down", "--all")
    assert down.stdout == f"down: {name}\n"
    assert Cgroup(Path(delegated)).pids() == []
    assert not Path(f"/tmp/hactl-lab-{NOBODY}").exists()
    assert not Path(f"/dev/shm/hactl-lab-{name}").exists()


def test_without_a_cgroup_it_says_how_to_get_one() -> None:
    refused = as_nobody("", sys.executable, "-m", "hactl.lab", "up", "--name", lab_name("w"))
    assert refused.returncode == 2
    assert "Run as root, or with a group of your own: systemd-run --user --scope -p Delegate=yes" in refused.stderr
