"""Who else may change a file: the file, its directories, and the links on the way to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fencing.linux.trusted import untrusted, untrusted_directory


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that only we may change, two directories down."""
    path = tmp_path / "above" / "own" / "file"
    path.parent.mkdir(parents=True)
    path.touch(0o755)
    return path


def test_what_is_ours_alone_is_trusted(file: Path) -> None:
    assert untrusted(str(file)) == untrusted_directory(str(file.parent)) == ""


def test_the_systems_programs_are_trusted() -> None:
    assert untrusted("/usr/bin/env") == untrusted("/bin/sh") == ""


@pytest.mark.parametrize("mode", [0o757, 0o777, 0o1777])
def test_its_own_directory_must_be_closed_sticky_or_not(file: Path, mode: int) -> None:
    file.parent.chmod(mode)
    assert f"{file.parent} may be written by others (mode {mode:04o}): `chmod go-w {file.parent}`" == untrusted(
        str(file)
    )
    assert untrusted_directory(str(file.parent)) != ""


def test_a_directory_above_must_be_closed_or_sticky(file: Path) -> None:
    above = file.parent.parent
    above.chmod(0o1777)
    assert untrusted(str(file)) == ""
    above.chmod(0o777)
    assert untrusted(str(file)).startswith(f"{above} may be written by others")


def test_the_file_itself(file: Path) -> None:
    file.chmod(0o757)
    assert untrusted(str(file)).startswith(f"{file} may be written by others")
    assert untrusted(str(file.parent)) == f"{file.parent} is no file"
    assert untrusted(str(file.parent / "absent")).endswith("absent: No such file or directory")


def test_links_are_followed_and_their_places_count(file: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    link = tmp_path / "closed" / "link"
    link.symlink_to("../above/./own/file")
    assert untrusted(str(link)) == ""
    file.chmod(0o757)
    assert untrusted(str(link)).startswith(f"{file} may")
    file.chmod(0o755)
    link.parent.chmod(0o777)
    assert untrusted(str(link)).startswith(f"{link.parent} may")
    link.parent.chmod(0o755)
    link.unlink()
    link.symlink_to(link)
    assert "too many links" in untrusted(str(link))


@pytest.mark.root
@pytest.mark.parametrize("choose", [lambda file: file, lambda file: file.parent, lambda file: file.parent.parent])
def test_another_users(file: Path, choose: Callable[[Path], Path]) -> None:
    path = choose(file)
    os.chown(path, 1234, 1234)
    assert untrusted(str(file)) == f"{path} belongs to user 1234: `chown root {path}`"


@pytest.mark.root
def test_another_users_link_in_a_sticky_directory(file: Path) -> None:
    above = file.parent.parent
    above.chmod(0o1777)
    (above / "link").symlink_to(file.parent)
    os.chown(above / "link", 1234, 1234, follow_symlinks=False)
    assert untrusted(str(above / "link" / "file")) != ""
