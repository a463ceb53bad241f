"""Secrets fetched from files and scripts on the node that acts."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from fencing.agents.options import OptionValue
from fencing.agents.secret_sources import Resolved, SecretError, read_secret, resolve_secrets
from fencing.topology import SecretFile


def resolve(options: dict[str, OptionValue], timeout_s: float = 30.0, **more: tuple[str, ...]) -> Resolved:
    return asyncio.run(resolve_secrets(options, timeout_s=timeout_s, **more))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "ipmi"
    path.write_text("hunter22\n")
    path.chmod(0o600)
    return path


def test_from_a_file(secret: Path) -> None:
    resolved = resolve({"ip": "10.0.0.1", "password": SecretFile(str(secret)), "pin": "1234", "community": "private"})
    assert resolved.options == {"ip": "10.0.0.1", "password": "hunter22", "pin": "1234", "community": "private"}
    assert resolved.secrets == {"hunter22", "private"}
    assert "hunter22" not in repr(resolved)


def test_names_that_the_agent_says_are_secret() -> None:
    assert resolve({"pin": "1234"}, secret_names=("pin",)).secrets == {"1234"}


def test_read_anew_each_time(secret: Path) -> None:
    options: dict[str, OptionValue] = {"password": SecretFile(str(secret))}
    resolve(options)
    secret.write_text("changed1")
    assert resolve(options).options == {"password": "changed1"}


@pytest.mark.parametrize(
    ("mode", "good"), [(0o600, True), (0o400, True), (0o640, True), (0o644, False), (0o660, False)]
)
def test_who_may_read_it(secret: Path, mode: int, good: bool) -> None:
    secret.chmod(mode)
    if good:
        assert read_secret(str(secret)) == "hunter22"
        return
    with pytest.raises(SecretError, match=f"mode {mode:04o} lets others read or change it: `chmod 600 {secret}`"):
        read_secret(str(secret))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_whose_it_is(secret: Path) -> None:
    os.chown(secret, 65534, 65534)
    with pytest.raises(SecretError, match="another user's"):
        read_secret(str(secret))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"\n", "empty"), (b"hunter22\nmore", "more than one line"), (b"hunter22\0", "more than one"),
     (b"hunter22" * 1000, "more than 4096 bytes"), (b"hunter22\xff", "not UTF-8")],
    ids=range(6),
)  # fmt: skip
def test_what_is_in_it(secret: Path, content: bytes, reason: str) -> None:
    secret.write_bytes(content)
    with pytest.raises(SecretError, match=reason) as raised:
        read_secret(str(secret))
    assert "hunter22" not in str(raised.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path, reason in ((tmp_path, "not a regular file"), (tmp_path / "pipe", "not a regular file"),
                         (tmp_path / "none", "No such file"), ("secrets/ipmi", "absolute path")):  # fmt: skip
        with pytest.raises(SecretError, match=reason):
            read_secret(str(path))


def test_both(secret: Path) -> None:
    with pytest.raises(SecretError, match="both password and password_script"):
        resolve({"password": SecretFile(str(secret)), "password_script": "echo hunter22"})
