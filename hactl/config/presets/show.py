"""Presets for people: the list, and one of them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from hactl.config.presets import Kind, Preset, presets

_WIDTH = 100

# How a preset is overridden, for `show` and the page.
OVERRIDE = (
    "What stands beside `preset` goes over it, key by key: `check: {inter: 2s}` changes only that. A list replaces the "
    "preset's; a key left empty takes the preset's away; a check of another `kind` keeps the preset's times only."
)
BY_NAME = (
    "`resources` are matched by name: those that you give come first, in your order and with the preset's settings "
    "under yours, then what else the preset has."
)


def check_of(preset: Preset) -> str:
    """How HAProxy sees whether it is well, in few words."""
    check: Mapping[str, Any] = preset.settings.get("check", {})
    kind = str(check.get("kind", "tcp"))
    words = ["https" if check.get("tls") else kind]
    words += [str(check["path"])] if "path" in check else []
    words += [f"role:{check['role']}"] if "role" in check else []
    words += [f"on {check['port']}"] if "port" in check else []
    return " ".join(words)


def ports_of(preset: Preset) -> str:
    """Where HAProxy accepts, and where the service listens if that is elsewhere."""
    port = str(preset.settings["port"])
    return f"{preset.accepts} to {port}" if preset.accepts else port


def listed(kind: Kind) -> list[Preset]:
    """The presets of a kind, in the order of the data."""
    return [preset for preset in presets().values() if preset.kind == kind]


def shown(preset: Preset) -> str:
    """A preset as a commented part of a cluster.yaml."""
    blocks = [f"{preset.name}: {preset.what}", *_about(preset)]
    lines: list[str] = []
    for block in blocks:
        lines += [*(["#"] if lines else []), *(f"# {line}".rstrip() for line in _wrapped(block))]
    return "\n".join(lines) + "\n" + _settings(preset)


def _about(preset: Preset) -> Iterator[str]:
    if preset.also:
        yield f"Also: {', '.join(preset.also)}."
    if preset.kind == "advice":
        yield f"It needs neither a service nor a group. {preset.reason}"
        yield preset.instead
    elif preset.kind == "service":
        yield f"services:\n  - {{preset: {preset.name}, binds: [10.0.0.30]}}"
        yield OVERRIDE
    else:
        yield f"groups:\n  - {{preset: {preset.name}}}"
        yield f"{OVERRIDE} {BY_NAME}"
    if preset.note:
        yield preset.note
    if preset.example:
        yield f"For example:\n\n{preset.example}"


def _wrapped(block: str) -> list[str]:
    """A block of prose in lines; one that has lines of its own keeps them."""
    if "\n" in block.strip():
        return block.rstrip().splitlines()
    return textwrap.wrap(block, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _settings(preset: Preset) -> str:
    if preset.kind == "advice":
        return ""
    name = f"name: {preset.name}\n"
    if preset.kind == "group":
        return name + preset.text
    port = preset.accepts or preset.settings["port"]
    return f'{name}binds: ["10.0.0.30:{port}"] # yours\n{preset.text}'
