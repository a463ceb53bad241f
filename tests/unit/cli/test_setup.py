"""`hactl setup` and `hactl certs`: what is refused before anything is done, and with which exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

from hactl.setup.bundle import encode
from hactl.setup.places import Places
from tests.support.bundles import bundle
from tests.unit.cli.conftest import Run

SETUP = ("setup", "--cluster", "prod")


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any file of hactl's."""
    monkeypatch.setattr(Places, "at", lambda _, path: f"{tmp_path}{path}")
    monkeypatch.setenv("HACTL_CONFIG", str(tmp_path / "none.toml"))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("setup",), "no setup has begun here: `hactl setup --cluster NAME"),
        (("setup", "n1=10.0.0.1"), "give `--cluster NAME`"),
        ((*SETUP, "n1"), "write NAME=ADDRESS"),
        ((*SETUP, "n1=10.0.0.1", "n2=10.0.0.2"), "`--witness w=ADDRESS`"),
        ((*SETUP, "n1=10.0.0.1", "n1=10.0.0.2", "n3=10.0.0.3"), "`n1` is there twice"),
        ((*SETUP, "n1=10.0.0.1", "--etcd-ca", "/ca.pem"), "give it, too"),
        ((*SETUP, "n1=10.0.0.1", "--timeout", "soon"), "soon"),
        (("setup", "join", "/gone"), "/gone cannot be read"),
        (("setup", "join"), "FILE"),
        (("certs", "show"), "was not set up by `hactl setup`"),
    ],
)
def test_bad_input(hactl: Run, arguments: tuple[str, ...], words: str) -> None:
    status, _, said = hactl(*arguments)
    assert status == 2
    assert words in said


def test_a_join_file_that_others_may_read(hactl: Run, empty: Path) -> None:
    file = empty / "n2.join"
    file.write_bytes(encode(bundle()))
    file.chmod(0o644)
    status, _, said = hactl("setup", "join", file)
    assert status == 2 and f"chmod 600 {file}" in said
    file.write_text("{}")
    file.chmod(0o600)
    status, _, said = hactl("setup", "join", file)
    assert status == 2 and "is no join file" in said


def test_renewal_is_refused_where_setup_did_not_run(hactl: Run) -> None:
    status, _, said = hactl("certs", "renew")
    assert status == 1 and "the one where `hactl setup` ran" in said


def test_help_names_both_commands(hactl: Run) -> None:
    status, shown, _ = hactl("setup", "--help")
    assert status == 0 and "--witness" in shown and "hactl setup join" in " ".join(shown.split())
