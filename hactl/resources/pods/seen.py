"""Whether a pod runs on this machine: by its processes, by the kubelet's list of pods. Both may block.

The processes of a container are processes of its machine; one is found by its program's name. The kubelet's list
(`/pods`, by its read-only port) says what it wants to run: a pod whose file is gone may be missing in it while its
containers are still being stopped.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_LONGEST_COMM = 15
_HTTP_S = 3.0
_LARGEST = 32 << 20
_OVER = ("Succeeded", "Failed")


class UnseenError(Exception):
    """It cannot be found out. The text says why."""


def processes(name: str, proc: Path = Path("/proc")) -> list[int]:
    """The live processes whose program has this name."""
    return [int(entry.name) for entry in _entries(proc) if _runs(entry, name)]


def kill(name: str) -> None:
    """SIGKILL to all of them."""
    for pid in processes(name):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if pid in processes(name):  # the same one still
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            continue
        finally:
            os.close(descriptor)


def pods_there(url: str, names: Iterable[str]) -> list[str]:
    """Those of the pods that the kubelet lists, and that are not over. Raises UnseenError."""
    wanted = set(names)
    return sorted({name for item in _items(url) for name in wanted if _is(item, name) and _phase(item) not in _OVER})


def pods_running(url: str, names: Iterable[str]) -> list[str]:
    """Those of the pods that run, by the kubelet. Raises UnseenError."""
    wanted = set(names)
    return sorted({name for item in _items(url) for name in wanted if _is(item, name) and _phase(item) == "Running"})


def _entries(proc: Path) -> Iterator[Path]:
    own = str(os.getpid())
    return (entry for entry in proc.iterdir() if entry.name.isdigit() and entry.name != own)


def _runs(entry: Path, name: str) -> bool:
    try:
        stat = (entry / "stat").read_text(errors="replace")
        if stat.rpartition(")")[2].split()[0] in "ZXx":
            return False
        first = (entry / "cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return False
    # A kernel thread has no command line; a script's first word is its interpreter, its comm its own name.
    return (
        bool(first)
        and (
            os.path.basename(os.fsdecode(first)) == name  # noqa: PTH119 - it may be no path
            or stat.partition("(")[2].rpartition(")")[0] == name[:_LONGEST_COMM]
        )
    )


def _items(url: str) -> list[dict[str, Any]]:
    parts = urlsplit(url)
    try:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 10255, timeout=_HTTP_S)
        try:
            connection.request("GET", parts.path or "/pods", headers={"Accept": "application/json"})
            answer = connection.getresponse()
            body = answer.read(_LARGEST)
        finally:
            connection.close()
        if answer.status != 200:
            raise UnseenError(f"the kubelet answers {url} with status {answer.status}")
        items = json.loads(body)["items"]
        return [item for item in items or () if isinstance(item, dict)]
    except (OSError, http.client.HTTPException) as error:
        raise UnseenError(f"the kubelet does not answer {url}: {error or type(error).__name__}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UnseenError(f"what answers {url} is no list of pods") from None


def _is(item: dict[str, Any], name: str) -> bool:
    """A static pod is called by its name in the file, `-`, and its node's."""
    metadata = item.get("metadata")
    if not isinstance(metadata, dict):
        return False
    called, notes = str(metadata.get("name")), metadata.get("annotations")
    of_a_file = isinstance(notes, dict) and notes.get("kubernetes.io/config.source") == "file"
    return called == name or (of_a_file and called.startswith(f"{name}-"))


def _phase(item: dict[str, Any]) -> str:
    status = item.get("status")
    return str(status.get("phase", "")) if isinstance(status, dict) else ""
