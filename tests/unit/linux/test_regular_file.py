"""What others may put into a file's place does not hang whoever reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hactl.haproxy.control.certificate_files import Named, digests, read
from hactl.linux.regular_file import read_regular


def test_a_file_is_read_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link") == b"x" * 10
    with pytest.raises(OSError, match="more than 9 bytes"):
        read_regular(tmp_path / "file", 9)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("pipe", "endless"):
        with pytest.raises(OSError, match="it is no regular file"):
            read_regular(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none")


def test_a_directory_of_certificates_that_others_write(tmp_path: Path) -> None:
    (tmp_path / "one.pem").write_text("one")
    os.mkfifo(tmp_path / "two.pem")
    (tmp_path / "three.pem").symlink_to("/dev/zero")
    assert list(digests((Named("crt", str(tmp_path)),))) == [f"{tmp_path}/one.pem"]
    assert read(f"{tmp_path}/two.pem") is None
    assert digests((Named("list", f"{tmp_path}/two.pem"),)) == {}
