"""The presets: settings of known services and groups, kept as data in the YAML files beside this.

A service preset has the settings of a service behind HAProxy; a group preset those of a group, which runs on one node
at a time; advice is about software that needs neither. `expand.py` puts them into a cluster.yaml, `show.py` is for
people.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hactl.config.yaml_tree import read_yaml

FILES = ("openstack", "stores", "kubernetes", "agents")

Kind = Literal["service", "group", "advice"]
KINDS: tuple[Kind, ...] = ("service", "group", "advice")


@dataclass(frozen=True, slots=True)
class Preset:
    """`what`: a summary in one line. `settings`: of the service or group, without its name; `text`: the same as
    written, with the reasons. `accepts`: the port of `binds`, 0: that of the service. `also`: other names. For advice
    `reason` says why there is nothing to configure, and `instead` what to do. `example`: a part of a cluster.yaml."""

    name: str
    kind: Kind
    what: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    accepts: int = 0
    also: tuple[str, ...] = ()
    reason: str = ""
    instead: str = ""
    note: str = ""
    example: str = ""


@functools.cache
def presets() -> Mapping[str, Preset]:
    """All of them by name, in the order of the files."""
    known: dict[str, Preset] = {}
    for file in FILES:
        text = Path(__file__).with_name(f"{file}.yaml").read_text(encoding="utf-8")
        written = _blocks(text)
        for name, entry in read_yaml(text, file).data.items():
            known[name] = _preset(name, entry, written[name])
    return known


def find(name: str) -> Preset | None:
    """The preset of this name, or of which this is another name."""
    known = presets()
    return known.get(name) or next((preset for preset in known.values() if name in preset.also), None)


def all_names() -> list[str]:
    """The names by which `find` finds one."""
    return [name for preset in presets().values() for name in (preset.name, *preset.also)]


def _preset(name: str, entry: Mapping[str, Any], written: str) -> Preset:
    kind = next(kind for kind in KINDS if kind in entry)
    settings, text = ({}, "") if kind == "advice" else (entry[kind], _blocks(written)[kind] + "\n")
    more = {key: entry[key] for key in ("accepts", "instead", "note", "example") if key in entry}
    also, reason = tuple(entry.get("also", ())), entry.get("advice", "")
    return Preset(name, kind, entry["what"], settings, text, also=also, reason=reason, **more)


def _blocks(text: str) -> dict[str, str]:
    """The text below each key of the first level, comments and all."""
    blocks: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line[:1].isalnum():
            lines = blocks.setdefault(line.partition(":")[0], [])
        elif line.startswith(" "):
            lines.append(line)
    return {name: textwrap.dedent("\n".join(block)) for name, block in blocks.items()}
