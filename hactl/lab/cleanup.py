"""Taking a lab down by the kernel's knowledge of it, so that it works for one that crashed half way up, too."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from hactl.lab import disk, netns
from hactl.lab.cgroup import Cgroup, base
from hactl.lab.spec import memory_directory, prefix, state_root
from hactl.lab.system import LabError

_LOGS, _LINES, _LINE_LENGTH = 30, 5, 400


def remove(name: str, *, keep_files: bool = False) -> None:
    """Remove all of a lab: processes, namespaces, cgroups, etcd's data, files. A part that is missing is no error.
    `keep_files` leaves logs and traces where they are (in a directory that was given to `up`)."""
    entry = state_root() / name
    group, directory = _places(entry, name)
    if group is not None:
        group.remove()
    for namespace in netns.names(prefix(name)):
        netns.remove(namespace)
    if (memory := memory_directory(name)) is not None:
        disk.remove(name, memory)
        shutil.rmtree(memory, ignore_errors=True)
    if entry.is_symlink():
        entry.unlink()
    else:
        shutil.rmtree(entry, ignore_errors=True)
    if not keep_files:
        shutil.rmtree(directory, ignore_errors=True)
    if group is not None:  # the last lab leaves the common directories; another's are in the way
        with contextlib.suppress(OSError):
            group.path.parent.rmdir()
    with contextlib.suppress(OSError):
        state_root().rmdir()


def last_words(logs: Path) -> str:
    """The end of each log below a directory that is about to be removed, some lines of each."""
    words = []
    for log in sorted(logs.rglob("*.log"))[:_LOGS]:
        with contextlib.suppress(OSError), log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LINES * _LINE_LENGTH))
            lines = file.read().decode(errors="replace").splitlines()[-_LINES:]
            words += [f"{log.relative_to(logs)}: {line[:_LINE_LENGTH]}" for line in lines]
    return "\n".join(words)


def labs() -> list[str]:
    """The names of all labs of which anything is left."""
    left = {path.name for path in state_root().glob("*")}
    left |= {name.split("-")[1] for name in netns.names("hl-")}
    memories = [path for path in Path("/dev/shm").glob("hactl-lab-*") if path.stat().st_uid == os.geteuid()]
    left |= {path.name.removeprefix("hactl-lab-") for path in memories}
    with contextlib.suppress(LabError):
        root = base()
        left |= {path.name for path in root.iterdir() if path.is_dir()}
        if not left:
            root.rmdir()
    return sorted(left)


def _places(entry: Path, name: str) -> tuple[Cgroup | None, Path]:
    """Its cgroup and directory, as lab.json has them, else where they would be."""
    directory = entry.resolve()
    with contextlib.suppress(OSError, ValueError, KeyError):
        return Cgroup(Path(json.loads((entry / "lab.json").read_text())["cgroup"])), directory
    with contextlib.suppress(LabError):
        return Cgroup(base() / name), directory
    return None, directory
