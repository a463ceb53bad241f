"""A guard's lab for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.guard.guard_lab import Lab, cgroup2_mount


@pytest.fixture
def lab() -> Iterator[Lab]:
    mount = cgroup2_mount()
    if os.geteuid() != 0 or mount is None:
        pytest.skip("needs root and cgroup v2")
    directory = Path(tempfile.mkdtemp(prefix="hactl-guard-"))
    made = Lab(directory, mount / f"{directory.name}-{os.getpid()}")
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(directory)
