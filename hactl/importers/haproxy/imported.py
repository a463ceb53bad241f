"""An import from text to result: mapped, checked by the schema, rendered, and compared with the original."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hactl.config.errors import ConfigErrors, Problem
from hactl.config.load import Loaded, check_tree
from hactl.config.yaml_tree import Tree
from hactl.haproxy.render.document import render
from hactl.haproxy.routing import Routing
from hactl.haproxy.settings import HaproxySettings
from hactl.haproxy.words import SECTIONS
from hactl.importers.haproxy.compare import added, missing
from hactl.importers.haproxy.convert import Draft, draft, refuse_services, refuse_set
from hactl.importers.haproxy.notes import Note
from hactl.importers.haproxy.source import Source, read_source, read_sources
from hactl.model.cluster import ClusterSpec

# A cluster to try the services in where there is none yet. The address is one for documents (RFC 5737).
NO_CLUSTER: Mapping[str, Any] = {"cluster": "imported", "nodes": [{"name": "node", "address": "192.0.2.254"}]}
_SERVICE = re.compile(r"services\[(\d+)\]")
_SET = re.compile(r"haproxy\.defaults\.([A-Za-z0-9_.:-]+)")
_ROUNDS = 20
# Lines that hactl writes into every file, beside the file's own.
_OF_HACTL = re.compile(r"node |stats (socket|timeout|enable)|server-state-file |load-server-state-from-file ")


@dataclass(frozen=True, slots=True)
class Imported:
    """The result. `document`: `services` and `haproxy` of cluster.yaml. `notes`: in the order of the file. `rendered`:
    the file that hactl writes for it."""

    document: dict[str, Any]
    notes: tuple[Note, ...]
    rendered: str
    draft: Draft

    @property
    def whole(self) -> bool:
        """Nothing was lost."""
        return not any(note.fate == "lost" for note in self.notes)


def import_text(text: str, file: str, reserved: Collection[str] = ()) -> Imported:
    """Import one file."""
    return import_texts([(file, text)], reserved)


def import_texts(texts: Sequence[tuple[str, str]], reserved: Collection[str] = ()) -> Imported:
    """Import files of HAProxy's, each with its name, in the order in which it is given them. `reserved`: names that
    sets of defaults must not have. Raises ConfigErrors when one is refused: with every line that is in the way."""
    source = read_sources(texts, SECTIONS)
    made = draft(source, reserved)
    spec = _sound(made, source.file)
    rendered = render_for_check(spec)
    written = read_source(rendered, "haproxy.cfg", SECTIONS)
    # A note on a single word of a line leaves the rest of it to be found.
    listed = {(note.line, note.text) for note in made.notes if note.fate in ("left", "lost")}
    settled = made.settled | {line.number for _, line in source.directives() if (line.number, line.text) in listed}
    lost = [Note("lost", line.number, line.text, why) for line, why in missing(source, written, made.names, settled)]
    beyond = [
        Note("hint", 0, f"hactl adds to {title}: {line}")
        for title, line in added(source, written, made.names)
        if not _OF_HACTL.match(line)
    ]
    return Imported(made.document(), _in_order(source, [*made.notes, *lost, *beyond]), rendered, made)


def _in_order(source: Source, notes: list[Note]) -> tuple[Note, ...]:
    ordered = sorted(dict.fromkeys(notes), key=lambda note: (note.line, note.fate))
    return tuple(_placed(source, note) for note in ordered)


def _placed(source: Source, note: Note) -> Note:
    """With the number that its line has in its own file."""
    if not note.line:
        return note
    file, number = source.place(note.line)
    return replace(note, line=number, file=file if len(source.begins) > 1 else "")


def render_for_check(spec: ClusterSpec) -> str:
    """The file of the first node, with all nodes live."""
    nodes = [node.name for node in spec.nodes]
    return render(spec, Routing(frozenset(nodes)), nodes[0], HaproxySettings("/run/hactl/haproxy"))


def _sound(made: Draft, file: str) -> ClusterSpec:
    """The cluster with the draft, once the schema takes it: refused parts stay as they were in the file."""
    for _ in range(_ROUNDS):
        try:
            return check_document({**NO_CLUSTER, **made.document()}).spec
        except ConfigErrors as error:
            if not _give_way(made, error.problems):
                raise ConfigErrors(problem._replace(file=file) for problem in error.problems) from None
    raise ConfigErrors([Problem(file, "", "does not become a configuration that hactl takes", "")])


def check_document(data: dict[str, Any]) -> Loaded:
    """A cluster.yaml that is not in a file. Raises ConfigErrors."""
    return check_tree(Tree("cluster.yaml", data=data))


def _give_way(made: Draft, problems: tuple[Problem, ...]) -> bool:
    """Keep the parts that the schema refuses word for word; whether there were any."""
    refused: dict[int, str] = {}
    sets: set[str] = set()
    for problem in problems:
        if match := _SERVICE.match(problem.path):
            refused.setdefault(int(match[1]), _reason(problem))
        elif match := _SET.match(problem.path):
            sets.add(match[1])
    refuse_services(made, refused)
    for name in sets:
        refuse_set(made, name)
    return bool(refused or sets)


def _reason(problem: Problem) -> str:
    where = problem.path.partition(".")[2]
    # The other one's place in the document means nothing to a reader of the file.
    wording = problem.problem.partition(": services[")[0]
    return f"as a service, {where and f'`{where}` '}{wording}"
