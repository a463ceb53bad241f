"""`python -m hactl.daemon --check`: can a daemon of this version use the settings?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def check(settings: Path) -> tuple[int, str]:
    argv = [sys.executable, "-m", "hactl.daemon", "--check", "--config", str(settings)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_settings_that_can_be_used(tmp_path: Path) -> None:
    settings = tmp_path / "node.toml"
    settings.write_text('cluster = "c"\nnode = "n1"\n')
    assert check(settings) == (0, "")


def test_settings_that_cannot_be_used(tmp_path: Path) -> None:
    settings = tmp_path / "node.toml"
    settings.write_text('cluster = "c"\nretired = 1\n')
    status, said = check(settings)
    assert status == 2
    assert "retired: unknown key" in said


def test_no_settings(tmp_path: Path) -> None:
    assert check(tmp_path / "none.toml")[0] == 2
