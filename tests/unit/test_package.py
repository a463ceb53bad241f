"""The Debian package: the libraries that it brings are those that the tests run with, and no more."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def pinned(lock: str) -> dict[str, str]:
    return dict(PINNED.findall((ROOT / lock).read_text(encoding="utf-8")))


def test_it_has_the_libraries_that_are_tested_and_no_tools_of_developers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packaged, tested = pinned("deploy/debian/requirements.lock"), pinned("requirements.lock")
    assert packaged.items() <= tested.items(), "make lock"
    needed = {re.split(r"[<>=]", name)[0].replace(".", "-") for name in project["dependencies"]}
    tools = {re.split(r"[<>=]", name)[0] for name in project["optional-dependencies"]["dev"]}
    assert needed <= packaged.keys()
    assert packaged.keys().isdisjoint(tools)
