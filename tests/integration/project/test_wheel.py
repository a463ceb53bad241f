"""An installation from a wheel is complete: commands, the licence, and the templates, which are a link in a
checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PARTS = ("deploy", "election", "fencing", "hactl", "templates", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files, as an installation would place them."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    source.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, source / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, source / part)
    argv = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(place), "."]
    done = subprocess.run(argv, cwd=source, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(place.glob("hactl-*.whl"))) as wheel:
        wheel.extractall(place / "site")
    return place / "site"


def python(installed: Path, *argv: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *argv], cwd=installed.parent, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_templates_are_found(installed: Path) -> None:
    code = "from hactl.haproxy import templates; print(templates.TEMPLATES, bool(templates.template()))"
    assert python(installed, "-c", code).split() == [str(installed / "hactl/templates"), "True"]
    assert not (installed / "hactl/templates").is_symlink()


def test_presets_are_found(installed: Path) -> None:
    assert "port: 5000" in python(installed, "-m", "hactl.cli.main", "preset", "show", "keystone")


def test_commands_are_there(installed: Path) -> None:
    assert "failover" in python(installed, "-m", "hactl.cli.main", "--help")
    assert "hactl-guard" in python(installed, "-m", "fencing.guard", "--help")
    assert "NODE_TOML" in python(installed, "-m", "hactl.daemon", "--help")
    points = next(installed.glob("*.dist-info/entry_points.txt")).read_text()
    assert "hactl = hactl.cli.main:run" in points


def test_what_is_installed_by_hand_is_there(installed: Path) -> None:
    share = next(installed.glob("*.data")) / "data/share/hactl"
    there = {str(path.relative_to(share)) for path in share.rglob("*")}
    assert {"systemd/hactl.service", "sysusers.d/hactl.conf", "60-hactl.conf", "requirements.lock"} <= there
    assert {"etcd/hactl.conf", "examples/node.toml"} <= there


def test_the_licence_comes_with_it(installed: Path) -> None:
    text = next(installed.glob("*.dist-info/licenses/LICENSE")).read_text()
    assert text == (ROOT / "LICENSE").read_text()
    assert "License-Expression: Apache-2.0" in next(installed.glob("*.dist-info/METADATA")).read_text()


def test_tests_are_not_in_it(installed: Path) -> None:
    assert sorted(path.name for path in installed.iterdir() if path.suffix not in (".dist-info", ".data")) == [
        "election",
        "fencing",
        "hactl",
    ]
