"""A snapshot's file: whether it is whole, and what is in it.

etcd's `snapshot save` puts the SHA-256 of the database behind it, so that a file that was cut or altered is noticed; a
database that was copied from a data directory has none, and its size is a multiple of 512.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import NamedTuple

from hactl.admin.errors import RefusedError
from hactl.admin.etcd.access import etcdctl

_SUM, _SECTOR = 32, 512
_READ = 1 << 20
_STATUS_S = 120.0


class SnapshotFacts(NamedTuple):
    """`digest`: SHA-256 of the database, in hexadecimal. `summed`: the file ends with it."""

    size: int
    revision: int
    keys: int
    digest: str
    summed: bool


def read_snapshot(path: Path, *, summed: bool = True) -> SnapshotFacts:
    """The facts of the file, which is read as a whole. `summed`: it must end with its own sum. Raises RefusedError for
    one that is not whole, OSError."""
    size = path.stat().st_size
    has_sum = size % _SECTOR == _SUM
    if summed and not has_sum:
        raise RefusedError(
            f"{path} does not end with its sum: it was cut, or copied from a data directory (`--without-sum` for that)"
        )
    digest, expected = _digest(path, size - _SUM if has_sum else size)
    if has_sum and digest != expected:
        raise RefusedError(f"{path} is damaged: its content has another SHA-256 than the one at its end; use another")
    try:
        status = json.loads(etcdctl(["snapshot", "status", str(path), "-w", "json"], {}, _STATUS_S, program=tool()))
        return SnapshotFacts(size, int(status["revision"]), int(status["totalKey"]), digest, has_sum)
    except (ValueError, KeyError, TypeError):
        raise RefusedError(f"{path}: `{tool()} snapshot status` says nothing of it: it is no snapshot") from None


def tool() -> str:
    """The program for files of etcd: `etcdutl` since 3.5, before that etcdctl itself."""
    return "etcdutl" if shutil.which("etcdutl") else "etcdctl"


def _digest(path: Path, length: int) -> tuple[str, str]:
    """The SHA-256 of the first `length` bytes, and the bytes behind them, both in hexadecimal."""
    digest, left = hashlib.sha256(), length
    with path.open("rb") as file:
        while left and (block := file.read(min(_READ, left))):
            digest.update(block)
            left -= len(block)
        return digest.hexdigest(), file.read(_SUM).hex()
