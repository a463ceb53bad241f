"""A file of HAProxy's, imported."""

from __future__ import annotations

from hactl.importers.haproxy.imported import Imported, import_text


def imported(text: str) -> Imported:
    return import_text(text, "x.cfg")


def notes(text: str, fate: str) -> list[tuple[int, str]]:
    """The lines that had this fate."""
    return [(note.line, note.text) for note in imported(text).notes if note.fate == fate]
