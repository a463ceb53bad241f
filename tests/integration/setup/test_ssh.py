"""Joining by ssh: what is run there, and what is said when it fails. ssh is a script here."""

from __future__ import annotations

from pathlib import Path

import pytest

from hactl.setup.errors import RefusedError
from hactl.setup.ssh import join_by_ssh, run_by_ssh
from tests.support.bundles import N2


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "n2.join").write_text("the bundle")
    return tmp_path / "ssh"


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def join(ssh: Path, user: str = "root") -> list[str]:
    said: list[str] = []
    join_by_ssh(N2, str(ssh.parent / "n2.join"), user, said.append)
    return said


def test_the_bundle_goes_over_standard_input(ssh: Path) -> None:
    script(ssh, 'echo "$@"; cat; echo')
    arguments, bundle = join(ssh)
    assert arguments.endswith("-l root 10.0.0.12 -- hactl setup join -")
    assert "BatchMode=yes" in arguments
    assert bundle == "n2: the bundle"
    assert join(ssh, "anna")[0].endswith("-l anna 10.0.0.12 -- sudo -n hactl setup join -")


def test_a_line_is_one_argument_of_the_shell_there(ssh: Path) -> None:
    """The other side's shell takes it apart, as ssh sends words with blanks between them."""
    script(ssh, 'while [ "$1" != -- ]; do shift; done; shift; sh -c "$*"')
    said: list[str] = []
    run_by_ssh(N2, "echo 'one  line' && echo two", "root", said.append)
    assert said == ["n2: one  line", "n2: two"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo Permission denied >&2; exit 255", "`ssh root@10.0.0.12 true` must work without a question"),
        ("echo hactl: command not found >&2; exit 127", "install hactl's package there"),
        ("echo 'error: this clock is off' >&2; exit 1", "n2: this clock is off\n(then repeat this command"),
    ],
)
def test_failures_say_what_to_do(ssh: Path, text: str, words: str) -> None:
    script(ssh, f"cat > /dev/null; {text}")
    with pytest.raises(RefusedError) as refused:
        join(ssh)
    assert words in str(refused.value)
