"""Reports of documents that cannot be read: the worst first, with commands that work as shown."""

from __future__ import annotations

import subprocess

import pytest

from hactl.status import unreadable
from tests.unit.status.test_unreadable import ETCDCTL, KEYS, holding


def as_bash_has_it(command: str) -> list[bytes]:
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True, timeout=10)
    return done.stdout.split(b"\0")[:-1]


@pytest.mark.parametrize(
    "name",
    [
        "a/b",
        "..",
        "it's",
        "\udcff\udcfe",
        "a\nb",
        "\x1b[31m",
        "back\\slash\t",
        "é",
        "$(reboot)",
        "`reboot`",
        "\u202e",
        "two  spaces ",
    ],
)
def test_an_invalid_key_can_be_deleted_by_the_command_shown(name: str) -> None:
    key = KEYS.group(name)
    fix = unreadable.shown(holding(key), ETCDCTL)[0]["fix"]
    command = fix.removeprefix("`").partition("`; or upgrade")[0]
    arguments = as_bash_has_it(command)
    assert arguments == [*(word.encode() for word in ETCDCTL.split()), b"del", key.encode(errors="surrogateescape")]
