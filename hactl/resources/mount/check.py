"""The check of a file system before it is mounted: what is safe to repair is repaired, what needs a person is said.

Sources: fsck(8), e2fsck(8), xfs_repair(8), btrfs-check(8) and their exit statuses.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import NamedTuple

from hactl.linux.run import Completed
from hactl.model.resources import Fsck
from hactl.resources.mount.device import PROGRAMS

_EXT = ("ext2", "ext3", "ext4")
# fsck(8): the exit status is a sum of these.
_CORRECTED, _REBOOT, _LEFT, _OPERATIONAL, _USAGE, _CANCELLED, _LIBRARY = 1, 2, 4, 8, 16, 32, 128
_DAMAGED = 1
# xfs_repair(8), `-n`: it looks past a journal, and then finds what the journal would put right.
_XFS_JOURNAL = "valuable metadata changes in a log"


class Verdict(NamedTuple):
    """`problem`: why it must not be mounted, with the command to type; `note`: what was repaired; `replay`: it can only
    be checked once a mount has replayed its journal."""

    problem: str = ""
    note: str = ""
    replay: bool = False


def command(file_system: str, policy: Fsck, device: str) -> list[str]:
    """The check to run before a mount; empty: none. The journals of xfs and btrfs are replayed by the mount itself."""
    if policy == "never":
        return []
    force = policy == "force"
    if file_system in _EXT:
        return ["e2fsck", "-f", "-p", device] if force else ["e2fsck", "-p", device]
    if file_system == "xfs":
        return ["xfs_repair", "-n", device] if force else []
    if file_system == "btrfs":
        return ["btrfs", "check", "--readonly", device] if force else []
    program = f"fsck.{file_system}"
    return [program, "-a", device] if shutil.which(program, path=PROGRAMS) else []


def by_hand(file_system: str, device: str) -> str:
    """The command of the person who has to decide."""
    if file_system in _EXT:
        return f"e2fsck -f {device}"
    if file_system == "xfs":
        return f"xfs_repair {device}"
    if file_system == "btrfs":
        return f"btrfs check {device}"
    return f"fsck.{file_system} {device}"


def verdict(argv: Sequence[str], file_system: str, done: Completed) -> Verdict:
    """What the end of a check means."""
    device = argv[-1]
    said = (done.stdout.strip() or done.stderr.strip()).replace("\n", "; ")[:300]
    if done.timed_out:
        return Verdict(f"the check of {device} was not done in time: give the resource a longer start_timeout")
    if done.ok:
        # A journal that was replayed is no news: every failover does that.
        return Verdict()
    if argv[0] in ("xfs_repair", "btrfs"):
        return _read_only(argv[0], file_system, device, done, said)
    status = done.returncode
    if 0 < status < _LIBRARY and not status & ~(_CORRECTED | _REBOOT):
        return Verdict(note=f"{argv[0]} has repaired {device}: {said}")
    if status > 0 and status & _LEFT:
        return Verdict(_needs_a_person(file_system, device, said))
    meaning = next(
        (words for bit, words in _MEANINGS.items() if status > 0 and status & bit), "it did not end by itself"
    )
    return Verdict(f"{device} could not be checked: {argv[0]} {done.describe()} ({meaning})")


_MEANINGS = {
    _OPERATIONAL: "an error of the check itself: is the device in use, or not readable?",
    _USAGE: "it does not know an option",
    _CANCELLED: "it was cancelled",
    _LIBRARY: "a library is missing",
}


def _read_only(program: str, file_system: str, device: str, done: Completed, said: str) -> Verdict:
    if program == "xfs_repair" and _XFS_JOURNAL in done.stdout + done.stderr:
        return Verdict(replay=True)
    if done.returncode == _DAMAGED:
        return Verdict(_needs_a_person(file_system, device, said))
    return Verdict(f"{device} could not be checked: {program} {done.describe()}")


def _needs_a_person(file_system: str, device: str, said: str) -> str:
    return (
        f"the file system on {device} has damage that only a person can decide about, so it is not mounted. Give the "
        f"group `enabled: false`, then run on one node: {by_hand(file_system, device)}   ({said})"
    )
