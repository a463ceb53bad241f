"""The result of an import as YAML: alone, or put into a cluster.yaml that is there. Comments say where it came from."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import LiteralScalarString

from hactl.importers.haproxy.convert import Draft
from hactl.importers.haproxy.imported import Imported
from hactl.importers.haproxy.notes import Note
from hactl.importers.haproxy.source import Line, Source

_WIDE = 100_000
# On one line each: small mappings, and mappings that look like a table when they stand below each other.
_ON_ONE_LINE = ("timeouts", "check", "server", "cookie", "stick", "stats", "tls", "agent", "log", "nodes")
_ITEMS_ON_ONE_LINE = ("servers", "binds", "userlists")
_TITLES = {
    "lost": "Could not be carried over:",
    "left": "Left out, for hactl sees to it or it had no effect:",
    "raw": "Kept word for word:",
    "hint": "Worth knowing:",
}


def report(notes: Sequence[Note]) -> list[str]:
    """All notes, for people: the losses first."""
    lines = []
    for fate, title in _TITLES.items():
        if of_fate := [note for note in notes if note.fate == fate]:
            lines += [title, *(f"  {note}" for note in of_fate)]
    return lines


def as_yaml(imported: Imported) -> str:
    """`services` and `haproxy` as a part of cluster.yaml."""
    whole = CommentedMap()
    whole["services"] = _services(imported.draft, imported.document["services"])
    whole["haproxy"] = _haproxy(imported.document["haproxy"])
    lost = [note for note in imported.notes if note.fate == "lost"]
    head = [f"From {imported.draft.source.file}, by `hactl import haproxy`."]
    head += [f"NOT CARRIED OVER: {note}" for note in lost]
    return "".join(f"# {line}\n" for line in head) + dump(whole)


def into_cluster(imported: Imported, text: str) -> tuple[str, list[Note]]:
    """A cluster.yaml with the import in it, and the parts that could not be put there: a service whose name is taken, a
    setting of HAProxy's that is another one already."""
    whole = reader().load(text)
    notes: list[Note] = []
    services = whole.setdefault("services", CommentedSeq())
    if services is None:
        services = whole["services"] = CommentedSeq()
    names = {service.get("name") for service in services}
    for service in _services(imported.draft, imported.document["services"]):
        if service["name"] in names:
            notes.append(Note("lost", 0, f"service {service['name']}", "the cluster has one of that name already"))
        else:
            services.append(service)
    if not whole.get("haproxy"):
        whole["haproxy"] = _haproxy(imported.document["haproxy"])
    else:
        notes += _merged(whole["haproxy"], _haproxy(imported.document["haproxy"]))
    return dump(whole), notes


def _merged(there: Any, new: Mapping[str, Any]) -> list[Note]:
    notes = []
    for key, value in new.items():
        if value in (None, [], ""):
            continue  # The file did not say it: the cluster's own holds.
        if isinstance(value, Mapping):
            part = there.setdefault(key, CommentedMap())
            for name, inner in value.items():
                if name in part and part[name] != inner:
                    notes.append(Note("lost", 0, f"haproxy.{key}.{name}", "the cluster has another one of that name"))
                part.setdefault(name, inner)
        elif isinstance(value, list) and key != "log":
            there.setdefault(key, CommentedSeq()).extend(element for element in value if element not in there[key])
        elif key in there and there[key] != value:
            notes.append(Note("lost", 0, f"haproxy.{key}: {value}", f"the cluster has {there[key] or 'none'}"))
        else:
            there[key] = value
    return notes


def reader() -> YAML:
    """Reads and writes YAML with its comments."""
    yaml = YAML(typ="rt")
    yaml.width = _WIDE
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    null = ("tag:yaml.org,2002:null", "null")
    yaml.representer.add_representer(type(None), lambda representer, _: representer.represent_scalar(*null))
    return yaml


def dump(data: Any) -> str:
    """As YAML."""
    text = io.StringIO()
    reader().dump(data, text)
    return text.getvalue().rstrip("\n") + "\n"


def _services(draft: Draft, services: Sequence[Mapping[str, Any]]) -> CommentedSeq:
    sequence = CommentedSeq()
    kept = {note.line for note in draft.notes if note.fate == "raw"}
    sections = [made for made, _ in draft.services]
    for index, (service, of) in enumerate(zip(services, sections, strict=True)):
        sequence.append(_styled(service))
        lines = [line.number for section in of for line in section.lines]
        first = ", ".join(f"{_place(draft.source, section.header)}: {section.title}" for section in of)
        words = ", ".join(str(draft.source.place(number)[1]) for number in sorted(kept.intersection(lines)))
        comment = first + (f"; word for word: {'line' if ',' not in words else 'lines'} {words}" if words else "")
        sequence.yaml_set_comment_before_after_key(index, before=comment, indent=2)
    return sequence


def _place(source: Source, line: Line) -> str:
    file, number = source.place(line.number)
    return f"{file}, line {number}" if len(source.begins) > 1 else f"line {number}"


def _haproxy(settings: Mapping[str, Any]) -> CommentedMap:
    mapping: CommentedMap = _styled(settings)
    if "sections" in mapping:
        mapping["sections"] = CommentedSeq([LiteralScalarString(text) for text in mapping["sections"]])
    return mapping


def _styled(value: Any, *, flow: bool = False, short_inside: bool = False) -> Any:
    """The plain data with short values on one line. `short_inside`: each of its parts is."""
    if isinstance(value, Mapping):
        mapping = CommentedMap()
        for key, inner in value.items():
            on_one = flow or (key in _ON_ONE_LINE and _is_short(inner))
            mapping[key] = _styled(inner, flow=on_one, short_inside=short_inside or key in _ITEMS_ON_ONE_LINE)
        if flow:
            mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, list):
        seq = CommentedSeq([_styled(inner, flow=flow or (short_inside and _is_short(inner))) for inner in value])
        if flow:
            seq.fa.set_flow_style()
        return seq
    return value


def _is_short(value: Any) -> bool:
    """Whether it is read well on one line."""
    return len(str(value)) < 140 and not (isinstance(value, Mapping) and "lines" in value)
