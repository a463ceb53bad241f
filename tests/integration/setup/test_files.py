"""Files are written whole or not at all, for their owner, and only where they differ."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hactl.setup.contents import Directory, File
from hactl.setup.errors import RefusedError
from hactl.setup.files import Files

NOBODY = 65534


def owner(user: str) -> tuple[int, int]:
    if user == "gone":
        raise KeyError(user)
    return {"root": (os.getuid(), os.getgid()), "etcd": (NOBODY, NOBODY)}[user]


@pytest.fixture
def said() -> list[str]:
    return []


def test_only_what_differs(tmp_path: Path, said: list[str]) -> None:
    files, path = Files(owner, said.append), tmp_path / "a"
    assert files.file(File(str(path), "text", 0o600))
    assert not files.file(File(str(path), "text", 0o600))
    path.chmod(0o644)
    assert files.file(File(str(path), "text", 0o600))
    assert path.stat().st_mode & 0o777 == 0o600
    assert files.file(File(str(path), "other", 0o600)) and path.read_text() == "other"
    assert said == [f"written    {path}", f"unchanged  {path}", f"written    {path}", f"written    {path}"]


@pytest.mark.root
def test_owners(tmp_path: Path, said: list[str]) -> None:
    if os.getuid():
        pytest.skip("needs root")
    files = Files(owner, said.append)
    files.directory(Directory(str(tmp_path / "d"), 0o700, "etcd"))
    files.file(File(str(tmp_path / "d/key"), "text", 0o600, "etcd"))
    for name, mode in (("d", 0o700), ("d/key", 0o600)):
        info = (tmp_path / name).stat()
        assert (info.st_uid, info.st_gid, info.st_mode & 0o777) == (NOBODY, NOBODY, mode)
    os.chown(tmp_path / "d/key", 1, 1)
    assert files.file(File(str(tmp_path / "d/key"), "text", 0o600, "etcd"))
    assert (tmp_path / "d/key").stat().st_uid == NOBODY


def test_a_link_is_replaced_and_not_followed(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "secret").write_text("kept")
    (tmp_path / "a").symlink_to(tmp_path / "secret")
    assert Files(owner, said.append).file(File(str(tmp_path / "a"), "text"))
    assert not (tmp_path / "a").is_symlink() and (tmp_path / "secret").read_text() == "kept"


def test_something_else_in_the_place(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "a").write_text("")
    files = Files(owner, said.append)
    with pytest.raises(RefusedError, match="is no directory: move it away, then repeat this"):
        files.directory(Directory(str(tmp_path / "a")))
    (tmp_path / "d").mkdir()
    with pytest.raises(RefusedError, match="cannot be "):
        files.file(File(str(tmp_path / "d"), "text"))
    with pytest.raises(RefusedError, match="no user `gone` here"):
        files.file(File(str(tmp_path / "b"), "text", owner="gone"))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], check=False).returncode:
        pytest.skip("needs root")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.root
def test_a_full_disk_leaves_what_was_there(small: Path, said: list[str]) -> None:
    files, path = Files(owner, said.append), small / "server.pem"
    files.file(File(str(path), "old"))
    (small / "ballast").write_bytes(b"x" * 50_000)
    with pytest.raises(RefusedError, match="No space left on device; make room there, then repeat this: it goes on"):
        files.file(File(str(path), "new" * 10_000))
    assert path.read_text() == "old"
    assert sorted(entry.name for entry in small.iterdir()) == ["ballast", "server.pem"]
    (small / "ballast").unlink()
    assert files.file(File(str(path), "new" * 10_000))
