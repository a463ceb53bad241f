"""Commands in a place that any user may reach, and a control group for what is started."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cgroups import own_cgroup


@pytest.fixture
def cgroup() -> Iterator[Path]:
    with own_cgroup("hooks") as path:
        yield path


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory in which everybody may write: the hook's user is nobody."""
    path = Path(tempfile.mkdtemp(prefix="hactl-hooks-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def command(public: Path) -> Callable[[str], str]:
    """A shell script; `$OUT` in it is a directory in which it may write."""

    def write(text: str) -> str:
        path = public / f"command-{len(list(public.iterdir()))}"
        path.write_text(f"#!/bin/sh\nOUT={public}\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return write
