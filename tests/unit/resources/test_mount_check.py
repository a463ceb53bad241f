"""What the end of a check of a file system means."""

from __future__ import annotations

import pytest

from hactl.linux.run import Completed
from hactl.resources.mount.check import Verdict, command, verdict

EXT = ["e2fsck", "-p", "/dev/x"]
XFS = ["xfs_repair", "-n", "/dev/x"]


def ended(status: int, words: str = "some words") -> Completed:
    return Completed(status, words, "", False)


@pytest.mark.parametrize(
    ("kind", "policy", "argv"),
    [
        ("ext4", "auto", ["e2fsck", "-p", "/dev/x"]),
        ("ext4", "force", ["e2fsck", "-f", "-p", "/dev/x"]),
        ("ext4", "never", []),
        ("xfs", "auto", []),  # the mount replays its journal
        ("xfs", "force", ["xfs_repair", "-n", "/dev/x"]),
        ("btrfs", "auto", []),
        ("btrfs", "force", ["btrfs", "check", "--readonly", "/dev/x"]),
        ("nosuchfs", "auto", []),
    ],
)
def test_the_command(kind: str, policy: str, argv: list[str]) -> None:
    assert command(kind, policy, "/dev/x") == argv  # type: ignore[arg-type]


def test_nothing_to_say() -> None:
    assert verdict(EXT, "ext4", ended(0)) == Verdict()


@pytest.mark.parametrize("status", [1, 2, 3])
def test_repaired(status: int) -> None:
    assert verdict(EXT, "ext4", ended(status)) == Verdict(note="e2fsck has repaired /dev/x: some words")


@pytest.mark.parametrize("status", [4, 5, 6, 7, 12])
def test_a_person_is_needed(status: int) -> None:
    assert "run on one node: e2fsck -f /dev/x" in verdict(EXT, "ext4", ended(status)).problem


@pytest.mark.parametrize("status", [*range(8, 256), *range(-31, 0)])
def test_any_other_end_is_no_leave_to_mount(status: int) -> None:
    assert verdict(EXT, "ext4", ended(status)).problem


def test_not_done_in_time() -> None:
    assert "longer start_timeout" in verdict(EXT, "ext4", Completed(-9, "", "", True)).problem


def test_xfs() -> None:
    assert verdict(XFS, "xfs", ended(0)) == Verdict()
    assert "xfs_repair /dev/x" in verdict(XFS, "xfs", ended(1)).problem
    # A journal that is to be replayed: what is found beside it need not be damage.
    words = "ALERT: The filesystem has valuable metadata changes in a log which is being ignored because the -n option"
    assert verdict(XFS, "xfs", ended(1, words)) == Verdict(replay=True)
    assert "could not be checked" in verdict(XFS, "xfs", ended(2)).problem
