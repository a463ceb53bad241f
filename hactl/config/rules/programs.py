"""What root will run or believe by this configuration, and others than root may change on this machine.

Remarks for `hactl config check` and `apply`, of what is here; on another node it may be another file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from fencing.linux.trusted import untrusted
from hactl.config.load import Loaded
from hactl.config.rules.findings import Finding
from hactl.model.cluster import ResourceSpec

_PROGRAMS = {"exec": ("command", "ready", "start", "stop", "monitor"), "manifest": ("source",)}


def program_findings(loaded: Loaded) -> Iterator[Finding]:
    """Each with the command that mends it."""
    for index, group in enumerate(loaded.spec.groups):
        for place, resource in enumerate(group.resources):
            for option, path in _files(resource):
                problem, _, fix = untrusted(path).partition(": `")
                if problem and Path(path).is_file():
                    where = ("groups", index, "resources", place, resource.kind, option)
                    yield Finding(where, f"others may change {path}: {problem}", f"`{fix}", False)


def _files(resource: ResourceSpec) -> Iterator[tuple[str, str]]:
    for option in _PROGRAMS.get(resource.kind, ()):
        value = resource.options.get(option)
        first = value[0] if isinstance(value, list | tuple) and value else value
        path = shutil.which(str(first)) if first and "/" not in str(first) else first
        if path and str(path).startswith("/"):
            yield option, str(path)
