"""Files that root will run or read by this configuration, and that others may change on this machine.

Remarks for `hactl config check` and `apply`, about the files here; on another node they may be others.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from fencing.linux.trusted import untrusted
from hactl.config.load import Loaded
from hactl.config.rules.findings import Finding
from hactl.model.resources import ExecSpec, ManifestSpec, PromoteSpec, ResourceSpec

_COMMANDS = ("command", "ready", "start", "stop", "monitor")
_OF_PROMOTION = ("promote", "demote", "role", "score")


def program_findings(loaded: Loaded) -> Iterator[Finding]:
    """Each with the command that repairs it."""
    for index, group in enumerate(loaded.spec.groups):
        for place, resource in enumerate(group.resources):
            for option, path in _files(resource):
                problem, _, fix = untrusted(path).partition(": `")
                if problem and Path(path).is_file():
                    where = ("groups", index, "resources", place, resource.kind, option)
                    yield Finding(where, f"others may change {path}: {problem}", f"`{fix}", False)


def _files(resource: ResourceSpec) -> Iterator[tuple[str, str]]:
    named: dict[str, str | None] = {}
    if isinstance(resource, ManifestSpec):
        named["source"] = resource.options.source
    elif isinstance(resource, ExecSpec | PromoteSpec):
        options = _COMMANDS if isinstance(resource, ExecSpec) else _OF_PROMOTION
        commands = {option: getattr(resource.options, option) for option in options}
        named = {option: argv[0] for option, argv in commands.items() if argv}
    for option, program in named.items():
        path = shutil.which(program) if program and "/" not in program else program
        if path and path.startswith("/"):
            yield option, path
