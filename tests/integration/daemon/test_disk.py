"""The state on disk, when the disk is full or read-only, or files on it are gone."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hactl.daemon.parts.state_files import AlreadyRunningError, KnownStore, StateFiles
from hactl.model.cluster import GroupSpec
from hactl.supervise import describe
from tests.support.specs import resource_spec

KNOWN = KnownStore("uuid", 1, 1, "sid")
GROUP = GroupSpec("db", (resource_spec("thing", "exec", {"command": ["x" * 3000]}),))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, a small one."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], check=False).returncode:
        pytest.skip("may not mount")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def fill(place: Path) -> Path:
    filler = place / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"\0" * 512):
            pass
    return filler


def files(place: Path) -> set[str]:
    return {path.name for path in place.rglob("*") if path.is_file()}


@pytest.mark.root
def test_a_full_disk_is_said_leaves_nothing_half_and_is_well_again(small: Path) -> None:
    disk = StateFiles(str(small), "boot")
    disk.keep_known(KNOWN)
    filler = fill(small)
    before = files(small)
    with pytest.raises(OSError, match="No space left on device") as caught:
        disk.keep_started(GROUP)
    assert describe(caught.value).startswith("No space left on device")
    assert files(small) == before
    assert disk.known().session_id == "sid"
    filler.unlink()
    disk.keep_started(GROUP)
    assert disk.leftovers() == (GROUP,)


@pytest.mark.root
@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_daemon_can_begin_where_nothing_can_be_written(small: Path, fault: str) -> None:
    """Running resources can be adopted; nothing is started: recording a start fails."""
    if fault == "full":
        fill(small)
    else:
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    disk = StateFiles(str(small), "boot")
    disk.lock()
    with pytest.raises(AlreadyRunningError):
        StateFiles(str(small), "boot").lock()
    assert disk.leftovers() == ()
    with pytest.raises(OSError, match=r"No space left|Read-only file system"):
        disk.keep_started(GROUP)


def test_removed_files_are_written_again(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    disk = StateFiles(str(state), "boot")
    disk.keep_started(GROUP)
    disk.keep_known(KNOWN)
    subprocess.run(["rm", "-rf", state], check=True)
    disk.keep_started(GROUP)
    disk.keep_known(KNOWN)
    assert disk.leftovers() == (GROUP,) and disk.known().session_id == "sid"


LOCK = (
    "import sys; from hactl.daemon.parts.state_files import StateFiles; "
    "StateFiles(sys.argv[1], 'boot').lock(); print(1, flush=True); "
    "sys.stdin.read()"
)


@pytest.mark.parametrize("removed", ["nothing", "the file", "everything"])
def test_one_daemon_a_node_whatever_is_removed(tmp_path: Path, removed: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LOCK, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline()
        if removed == "the file":
            (tmp_path / "daemon.lock").unlink()
        if removed == "everything":
            subprocess.run(f"rm -rf {tmp_path}/*", shell=True, check=True)
        holder = str(other.pid) if removed == "nothing" else "unknown"
        with pytest.raises(AlreadyRunningError, match=f"process {holder} "):
            StateFiles(str(tmp_path), "boot").lock()
        other.stdin.close()
        other.wait(10)
    StateFiles(str(tmp_path), "boot").lock()
    assert json.loads((tmp_path / "daemon.lock").read_text())
