"""Reads the stored configuration without holding the daemon up: in a process of its own, or, when this node has read
the same before, from disk, so that a daemon that comes back is there the sooner (L2)."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import structlog

from election.records import RecordError
from hactl import __version__
from hactl.config import compiled
from hactl.config.cluster_key import read_key
from hactl.config.errors import ConfigErrors
from hactl.config.signature import Accepted, digest, refusal, without_key
from hactl.config.stored import StoredConfig
from hactl.linux.atomic_write import write_atomically
from hactl.linux.disk_thread import DiskThread
from hactl.linux.errors import OperationError
from hactl.linux.run import run
from hactl.model.cluster import ClusterSpec

log = structlog.get_logger()

TIMEOUT_S = 20.0
# How long it is waited until a configuration is kept.
DISK_S = 5.0
MAX_OUTPUT = 16 << 20
_FILE = "config.json"


class UnreadableError(Exception):
    """The document is refused. The text says why."""


class ConfigReader:
    """Reads documents; the last one is kept below `state_dir`. `key_file`: the cluster's key; where there is one, a
    document counts only when it is signed with it (signature.py)."""

    def __init__(self, state_dir: str, cluster: str, key_file: str) -> None:
        self._file = Path(state_dir, _FILE)
        self._cluster, self._key_file = cluster, Path(key_file)
        # The file is read without a time limit; the write for the next daemon has one.
        self._reading, self._keeping = DiskThread("state_dir", None), DiskThread("state_dir", DISK_S)
        self._used: Accepted | None = None  # by this daemon: the disk may not take it

    async def known(self, text: str, generation: int) -> ClusterSpec | None:
        """The cluster of this document, if it is the one kept, and may be used. `generation`: the store's."""
        return await self._reading.run(self._known, text, generation)

    def _known(self, text: str, generation: int) -> ClusterSpec | None:
        kept = _read_kept(self._file)
        if kept.get("of") != _mark(text) or self._refusal(text, kept, generation):
            return None
        if (spec := _load(kept)) is not None:
            self._used = _accepted(kept)
        return spec

    async def last(self) -> ClusterSpec | None:
        """The last cluster that was used here, of whatever document: a daemon that comes back goes on with it where
        the newest cannot be used. A file of another version is read anew."""
        kept = await self._reading.run(_read_kept, self._file)
        if str(kept.get("of", "")).partition(" ")[0] == __version__:
            return await asyncio.to_thread(_load, kept)
        text = kept.get("text")
        if not isinstance(text, str):
            return None
        try:
            return compiled.load(await _compile(text))
        except (UnreadableError, KeyError, TypeError):
            return None

    async def read(self, text: str, generation: int) -> ClusterSpec:
        """The cluster of this document. Raises UnreadableError."""
        before = await self._reading.run(_read_kept, self._file)
        if problem := await self._reading.run(self._refusal, text, before, generation):
            raise UnreadableError(problem)
        raw = await _compile(text)
        try:
            spec = await asyncio.to_thread(compiled.load, raw)
        except (KeyError, TypeError) as error:
            raise UnreadableError(f"cannot be read: {error!r}") from None
        stored = await asyncio.to_thread(StoredConfig.from_json, text, "config")
        last = self._used or _accepted(before)
        checked = await self._reading.run(read_key, self._key_file) is not None or (last is not None and last.signed)
        signed = bool(stored.signature) and checked
        kept = {"spec": raw, "text": text, "serial": stored.serial, "generation": generation, "signed": signed}
        kept["of"] = await asyncio.to_thread(_mark, text)
        self._used = _accepted(kept)
        try:
            await self._keeping.run(self._keep, kept)
        except OSError as error:  # no fsync: half a file is as good as none, it is read anew then
            log.warning("config_not_kept", problem=str(error))
        return spec

    def _refusal(self, text: str, kept: dict[str, Any], generation: int) -> str:
        """Why this document must not be used, before its content is looked at; empty: it may."""
        try:
            key = read_key(self._key_file)
            stored = StoredConfig.from_json(text, "config")
        except ConfigErrors as error:
            return f"the cluster's key cannot be used: {error}"
        except RecordError as error:
            return str(error)
        last = self._used or _accepted(kept)
        if key is None:
            return without_key(stored, text, str(self._key_file), last)
        return refusal(stored, text, self._cluster, key, last, generation)

    def _keep(self, kept: dict[str, Any]) -> None:
        write_atomically(self._file, json.dumps(kept), durable=False)


def digest_in_use(state_dir: str) -> str:
    """SHA-256 of the configuration that this node used last, in hex; empty: it used none yet."""
    accepted = _accepted(_read_kept(Path(state_dir, _FILE)))
    return accepted.digest if accepted else ""


def serial_in_use(state_dir: str) -> int:
    """The serial of the configuration that this node used last; 0: it used none yet, or only root may know."""
    accepted = _accepted(_read_kept(Path(state_dir, _FILE)))
    return accepted.serial if accepted else 0


def _read_kept(file: Path) -> dict[str, Any]:
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _accepted(kept: dict[str, Any]) -> Accepted | None:
    """The configuration used last, by the kept file; an earlier version's file has only its digest."""
    mark = kept.get("of")
    if not isinstance(mark, str):
        return None
    serial, generation = kept.get("serial"), kept.get("generation")
    return Accepted(
        mark.partition(" ")[2],
        serial if isinstance(serial, int) else 0,
        generation if isinstance(generation, int) else 0,
        kept.get("signed") is True,
    )


def _load(kept: dict[str, Any]) -> ClusterSpec | None:
    try:
        return compiled.load(kept["spec"])
    except (KeyError, TypeError):
        return None


async def _compile(text: str) -> dict[str, Any]:
    """The document as plain JSON of the model, by a process of its own. Raises UnreadableError."""
    argv = [sys.executable, "-I", "-m", "hactl.config.compiled"]
    try:
        done = await run(argv, timeout_s=TIMEOUT_S, input=text, max_output=MAX_OUTPUT)
        raw = await asyncio.to_thread(json.loads, done.stdout)
        if "problem" in raw:
            raise UnreadableError(raw["problem"])
        spec: dict[str, Any] = raw["spec"]
    except (OperationError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.error("config_process_failed", problem=str(error))
        return await asyncio.to_thread(_compile_here, text)
    return spec


def _compile_here(text: str) -> dict[str, Any]:
    """The same without another process: slow, but there."""
    from hactl.config.document import read_stored  # noqa: PLC0415 - heavy

    try:
        return compiled.dump(read_stored(text, checked=False).spec)
    except ConfigErrors as error:
        raise UnreadableError(str(error)) from None


def _mark(text: str) -> str:
    """The mark that tells documents, and versions that read them, apart."""
    return f"{__version__} {digest(text)}"
