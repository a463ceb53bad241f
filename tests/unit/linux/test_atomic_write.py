"""A file is written as a whole or not at all, and only where it was meant to be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hactl.linux.atomic_write import create_atomically, remove_staged, staged, write_atomically


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_it_has_its_mode_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "private", "a")
        write_atomically(tmp_path / "public", b"b", mode=0o644, durable=False)
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("private", "public")] == [0o600, 0o644]
    assert names(tmp_path) == ["private", "public"]


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "file").symlink_to(victim)
    write_atomically(tmp_path / "file", "new")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "file").is_symlink() and (tmp_path / "file").read_text() == "new"


def test_a_link_under_the_staged_name_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr(os, "urandom", bytes)  # somebody who guesses right
    (tmp_path / f".file.{bytes(8).hex()}.staged").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "file", "new")
    assert victim.read_text() == "precious"


def test_nothing_is_left_of_what_was_not_placed(tmp_path: Path) -> None:
    with staged(tmp_path / "file", "new"):
        assert len(names(tmp_path)) == 1
    assert names(tmp_path) == []


def test_it_is_not_created_over_another(tmp_path: Path) -> None:
    create_atomically(tmp_path / "file", "first")
    with pytest.raises(FileExistsError):
        create_atomically(tmp_path / "file", "second")
    assert (tmp_path / "file").read_text() == "first" and names(tmp_path) == ["file"]


def test_it_goes_into_the_directory_that_was_meant_first(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with staged(tmp_path / "here" / "file", "new") as place:
        (tmp_path / "here").rename(tmp_path / "moved")
        (tmp_path / "here").mkdir()
        place()
    assert names(tmp_path / "here") == [] and names(tmp_path / "moved") == ["file"]


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    for name in (".file.00ff.staged", ".other.00ff.staged", ".file.kept", "file"):
        (tmp_path / name).touch()
    remove_staged(tmp_path / "file")
    assert names(tmp_path) == [".file.kept", ".other.00ff.staged", "file"]
