"""Rendering: changes of the file, and refusals."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hactl.haproxy.templates import TEMPLATES


def test_a_wheel_holds_the_template(tmp_path: Path) -> None:
    top = TEMPLATES.resolve().parent
    if not (top / "pyproject.toml").exists():
        pytest.skip("not a checkout")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("election", "fencing", "hactl", "templates"):
        shutil.copytree(top / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(top / "pyproject.toml", source)
    (source / "README.md").touch()
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    argv = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("hactl/templates/haproxy.cfg.j2") == (top / "templates/haproxy.cfg.j2").read_bytes()
