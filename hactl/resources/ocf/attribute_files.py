"""The attributes that agents have set on this node: a file each, gone with a reboot."""

from __future__ import annotations

from pathlib import Path

_MANY, _LONGEST = 1000, 4096


def read(directory: str) -> dict[str, str]:
    """All of them, by name; none where there is no such directory."""
    try:
        files = [path for path in Path(directory).iterdir() if not path.name.startswith(".")][:_MANY]
        return {path.name: path.read_bytes()[:_LONGEST].decode(errors="replace").rstrip("\n") for path in files}
    except OSError:
        return {}
