"""Small fence agents, written for a test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Write = Callable[..., str]


@pytest.fixture
def agent(tmp_path: Path) -> Write:
    """Writes an agent and returns its path. `body` is shell; the agent's standard input is in `$given`."""

    def write(body: str, name: str = "fence_test", interpreter: str = "/bin/sh") -> str:
        path = tmp_path / name
        reads = 'given=$(cat)\naction=$(echo "$given" | sed -n s/^action=//p)\n' if interpreter == "/bin/sh" else ""
        path.write_text(f"#!{interpreter}\n{reads}{body}\n")
        path.chmod(0o755)
        return str(path)

    return write


class Pipe:
    """Tells whether any process that has the pipe open still lives: it is at its end when none does."""

    def __init__(self) -> None:
        read, write = os.pipe()
        self._read = os.fdopen(read, "rb", buffering=0)
        self._write = os.fdopen(write, "wb", buffering=0)
        # Where others open it for writing.
        self.path = f"/proc/{os.getpid()}/fd/{write}"

    def line(self) -> bytes:
        """Wait for a line."""
        return self._read.readline()

    def rest(self) -> bytes:
        """Wait until no process has it open; all that was written until then."""
        self._write.close()
        return self._read.read()

    def close(self) -> None:
        self._write.close()
        self._read.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()
