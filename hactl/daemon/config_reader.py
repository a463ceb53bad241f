"""Reads the stored configuration without holding the daemon up: in a process of its own, or, when this node has read
the same before, from disk, so that a daemon that comes back is there the sooner (L2)."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import structlog

from hactl import __version__
from hactl.config import compiled
from hactl.model.cluster import ClusterSpec
from hactl.resources.base import ResourceError
from hactl.resources.run import run

log = structlog.get_logger()

TIMEOUT_S = 20.0
MAX_OUTPUT = 16 << 20


class UnreadableError(Exception):
    """The document is refused. The text says why."""


class ConfigReader:
    """Reads documents; the last one is kept below `state_dir`."""

    def __init__(self, state_dir: str) -> None:
        self._file = Path(state_dir, "config.json")

    def known(self, text: str) -> ClusterSpec | None:
        """The cluster of this document, if it is the one kept."""
        mark, spec = self._kept()
        return spec if mark == _mark(text) else None

    def last(self) -> ClusterSpec | None:
        """The last cluster that this version could read, of whatever document: what a daemon that comes back goes on
        with where the newest cannot be read."""
        mark, spec = self._kept()
        return spec if mark.partition(" ")[0] == __version__ else None

    def _kept(self) -> tuple[str, ClusterSpec | None]:
        try:
            raw = json.loads(self._file.read_text(encoding="utf-8"))
            return str(raw["of"]), compiled.load(raw["spec"])
        except (OSError, ValueError, KeyError, TypeError):
            return "", None

    async def read(self, text: str) -> ClusterSpec:
        """The cluster of this document. Raises UnreadableError."""
        argv = [sys.executable, "-m", "hactl.config.compiled"]
        try:
            done = await run(argv, timeout_s=TIMEOUT_S, input=text, max_output=MAX_OUTPUT)
            raw = json.loads(done.stdout)
            if "problem" in raw:
                raise UnreadableError(raw["problem"])
            spec = compiled.load(raw["spec"])
        except (ResourceError, OSError, ValueError, KeyError, TypeError) as error:
            log.error("config_process_failed", problem=str(error))
            return _read_here(text)
        self._keep({"of": _mark(text), "spec": raw["spec"]})
        return spec

    def _keep(self, found: dict[str, Any]) -> None:
        """No fsync: half a file is as good as none, it is read anew then."""
        staged = self._file.with_name(f".{self._file.name}.staged")
        try:
            staged.write_text(json.dumps(found), encoding="utf-8")
            staged.replace(self._file)
        except OSError as error:
            log.warning("config_not_kept", problem=str(error))


def _read_here(text: str) -> ClusterSpec:
    """The same without another process: slow, but there."""
    from hactl.config.document import read_stored  # noqa: PLC0415 - heavy
    from hactl.config.errors import ConfigErrors  # noqa: PLC0415

    try:
        return read_stored(text, checked=False).spec
    except ConfigErrors as error:
        raise UnreadableError(str(error)) from None


def _mark(text: str) -> str:
    """What tells documents, and versions that read them, apart."""
    return f"{__version__} {hashlib.sha256(text.encode()).hexdigest()}"
