"""The cluster's key: made once, read only where nobody else may."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hactl.config.cluster_key import create_key, read_key
from hactl.config.errors import ConfigErrors


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "cluster.key"
    assert read_key(path) is None
    before = os.umask(0)
    try:
        create_key(path)
    finally:
        os.umask(before)
    key = read_key(path)
    assert key is not None and len(bytes.fromhex(key.decode())) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigErrors, match="is there already; copy it to the other nodes"):
        create_key(path)
    assert read_key(path) == key
    assert [file.name for file in path.parent.iterdir()] == ["cluster.key"]


def test_no_two_are_the_same(tmp_path: Path) -> None:
    create_key(tmp_path / "one")
    create_key(tmp_path / "two")
    assert read_key(tmp_path / "one") != read_key(tmp_path / "two")


@pytest.mark.parametrize(
    ("mode", "content", "says"),
    [
        (0o640, "k" * 32, "may be read or written by others than its owner; chmod 600"),
        (0o602, "k" * 32, "may be read or written by others"),
        (0o600, "k" * 31 + "\n", "is no key: 32 to 4096 bytes are wanted; `hactl key create`"),
        (0o600, "k" * 4097, "is no key"),
        (0o600, "k" * 32, "is a weak key: it has only 1 different characters"),
        (0o600, "secret" * 6, "is a weak key: it has only 5 different characters"),
    ],
)
def test_refused(tmp_path: Path, mode: int, content: str, says: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(ConfigErrors, match=says):
        read_key(path)


@pytest.mark.root
def test_the_key_of_another_user_is_none(tmp_path: Path) -> None:
    path = tmp_path / "key"
    create_key(path)
    os.chown(path, 1234, 1234)
    with pytest.raises(ConfigErrors, match="belongs to user 1234; chown root"):
        read_key(path)


def test_a_pipe_is_no_key(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key", 0o600)
    with pytest.raises(ConfigErrors, match="is no regular file"):
        read_key(tmp_path / "key")


def test_any_32_bytes_are_a_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(bytes(range(128, 160)))
    path.chmod(0o600)
    assert read_key(path) == bytes(range(128, 160))
