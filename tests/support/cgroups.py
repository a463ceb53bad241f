"""A cgroup v2 of a test's own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fencing.linux import cgroup as cgroup_v2
from hactl.linux.cgroup import find_mount


@contextlib.contextmanager
def own_cgroup(name: str) -> Iterator[Path]:
    """Its directory while the block runs; skips the test where there is none to be had."""
    mount = find_mount()
    if os.geteuid() != 0 or mount is None:
        pytest.skip("needs root and cgroup v2")
    path = Path(mount, f"hactl-test-{name}-{os.getpid()}")
    path.mkdir()
    try:
        yield path
    finally:
        cgroup_v2.kill(path)
        for group in [*path.iterdir(), path]:
            if group.is_dir():
                group.rmdir()
