"""The examples of docs/storage.md, as they stand there, on the real thing: LVM, iSCSI, DRBD, NFS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.storage.guest import play


def results(tmp_path: Path, scene: str) -> dict[str, Any]:
    console = play(tmp_path, scene)
    line = next((line for line in console.splitlines() if line.startswith("RESULT ")), "")
    assert line, console[-4000:]
    print(console)
    return dict(json.loads(line.removeprefix("RESULT ")))


@pytest.mark.parametrize("scene", ["lvm", "iscsi", "drbd"])
def test_what_makes_the_device_appear_and_the_file_system_on_it(tmp_path: Path, scene: str) -> None:
    """Started and stopped in order, in the presence of a process that uses it; then stopped by the guard."""
    seen = results(tmp_path, scene)
    assert "error" not in seen, seen
    expected = {
        "first before": "stopped", "first start": "", "first probe": "running",
        "ready": "", "start": "", "monitor": "running", "stop": "", "user": -15, "probe": "stopped",
        "first stop": "", "first after": "stopped",
        "first again": "", "start again": "", "guard": "", "first killed": "",
    }  # fmt: skip
    assert {step: seen[step] for step in expected} == expected
    assert seen.get("not ours", True)  # a volume group of another node is not activated by itself


def test_a_server_of_nfs_that_goes_away(tmp_path: Path) -> None:
    seen = results(tmp_path, "nfs")
    assert "error" not in seen, seen
    expected = {
        "ready": "", "start": "", "monitor": "running", "stop": "", "kept": "kept", "start again": "",
        "monitor of one that is gone": "failed", "stop of one that is gone": "", "probe": "stopped",
    }  # fmt: skip
    assert {step: seen[step] for step in expected} == expected
    assert seen["user"] in (-9, -15)
