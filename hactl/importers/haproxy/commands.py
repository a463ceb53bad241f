"""`hactl import haproxy`: its logic, for the command line to wire up and print."""

from __future__ import annotations

import codecs
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hactl.config.errors import ConfigErrors, Problem
from hactl.config.load import check_text, read_text
from hactl.config.parts import mappings
from hactl.config.yaml_tree import read_yaml
from hactl.importers.haproxy.imported import import_texts
from hactl.importers.haproxy.members import adopt, same_servers
from hactl.importers.haproxy.notes import Note
from hactl.importers.haproxy.written import as_yaml, into_cluster, report


@dataclass(frozen=True, slots=True)
class ImportResult:
    """`yaml`: the part of cluster.yaml, or the whole one. `report`: for people. `whole`: nothing was lost."""

    yaml: str
    report: tuple[str, ...]
    whole: bool


def import_haproxy(paths: Sequence[Path], cluster: Path | None = None) -> ImportResult:
    """Import the files and directories that HAProxy is given by `-f`, in their order, alone or into a cluster.yaml,
    which is only read. Raises ConfigErrors."""
    texts = [(str(file), _read(file)) for path in paths for file in _files(path)]
    if cluster is None:
        imported = import_texts(texts)
        notes = [*imported.notes, *same_servers(imported.document)]
        return ImportResult(as_yaml(imported), tuple(report(notes)), imported.whole)
    text = read_text(cluster)
    nodes, reserved = _there(text, str(cluster))
    imported = import_texts(texts, reserved)
    notes = [*imported.notes, *adopt(imported.document, nodes)]
    whole, refused = into_cluster(imported, text)
    notes += [*refused, *_unsound(whole, str(cluster))]
    return ImportResult(whole, tuple(report(notes)), not any(note.fate == "lost" for note in notes))


def _files(path: Path) -> list[Path]:
    """The file, or those of a directory that HAProxy takes from it, in its order. Source: HAProxy's management guide,
    *Starting HAProxy*, `-f <cfgdir>`."""
    if not path.is_dir():
        return [path]
    try:
        files = [file for file in path.iterdir() if file.suffix == ".cfg" and file.name[0] != "." and file.is_file()]
    except OSError as error:
        raise _unreadable(path, error) from None
    if not files:
        raise ConfigErrors([Problem(str(path), "", "has no file whose name ends in .cfg", "name the files themselves")])
    return sorted(files, key=lambda file: os.fsencode(file.name))


def _unreadable(path: Path, error: OSError) -> ConfigErrors:
    problem = f"cannot be read: {error.strerror}"
    return ConfigErrors([Problem(str(path), "", problem, "see that it is there and may be read")])


def _read(file: Path) -> str:
    """HAProxy takes any bytes; those that are no UTF-8 are kept as they are."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise _unreadable(file, error) from None
    return data.removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")


def _there(text: str, file: str) -> tuple[dict[str, str], list[str]]:
    """The nodes' addresses by name, and the names of the sets of defaults. Other problems of the file may be repaired
    by the import: they are looked at afterwards."""
    tree = read_yaml(text, file)
    if tree.problems or not isinstance(tree.data, dict):
        raise ConfigErrors(tree.problems or [tree.problem((), "is no mapping", "name a cluster.yaml")])
    nodes = {str(node.get("name")): str(node.get("address")) for _, node in mappings(tree.data, ("nodes",))}
    haproxy = tree.data.get("haproxy")
    sets = haproxy.get("defaults") if isinstance(haproxy, dict) else None
    return nodes, list(sets) if isinstance(sets, dict) else []


def _unsound(text: str, cluster: str) -> list[Note]:
    """The problems of the cluster.yaml that has the import in it."""
    try:
        warnings = check_text(text, cluster).warnings
    except ConfigErrors as error:
        return [
            Note("lost", 0, problem.path, f"{problem.problem}{problem.hint and f'; {problem.hint}'}")
            for problem in error.problems
        ]
    return [Note("hint", 0, f"{warning.path}: {warning.problem}") for warning in warnings]
