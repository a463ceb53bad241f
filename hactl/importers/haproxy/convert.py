"""The whole of an import: a file of HAProxy's to the `services` and `haproxy` of cluster.yaml.

A proxy that the schema refuses as a service is kept as a section, word for word. In the end the cluster is rendered,
and directives that are not found again in that file are listed (`compare.py`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from hactl.config.errors import ConfigErrors
from hactl.haproxy.render.global_sections import EXPORTER
from hactl.haproxy.render.service import FRONT, OWN
from hactl.importers.haproxy.checks import checks_handed_on
from hactl.importers.haproxy.common import Settings
from hactl.importers.haproxy.notes import Note
from hactl.importers.haproxy.obsolete import renew
from hactl.importers.haproxy.others import global_settings, late_globals, section_text, userlist
from hactl.importers.haproxy.pairs import free_name, pair, take_apart
from hactl.importers.haproxy.proxies import DefaultsSet, Proxy, defaults_settings, proxy
from hactl.importers.haproxy.source import PROXIES, Section, Source

_NAME = re.compile(r"[A-Za-z0-9_.:-]+")
_RULES = ("http-request", "http-response", "http-after-response", "tcp-request", "tcp-response")
_NO_DEFAULTS = (
    "proxies stand before any `defaults`, so they have HAProxy's own: mode tcp, no timeouts. If another file has them, "
    "name that file first"
)
_GENERATED = "hactl writes it itself"


@dataclass(slots=True)
class Draft:
    """The state of an import. `services`: by the first of the sections that each is made of. `raw`: sections kept word
    for word. `names`: of the sets of defaults, and of frontends that get another one, by section. `parents`: the set of
    defaults of each proxy. `settled`: lines of sections that hactl writes itself. `reserved`: names that no set of
    defaults gets. `wholes`: the frontend and the backend of services that are made from two sections."""

    source: Source
    haproxy: Settings = field(default_factory=dict)
    services: list[tuple[list[Section], Settings]] = field(default_factory=list)
    raw: list[tuple[Section, str]] = field(default_factory=list)
    sets: list[DefaultsSet] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    parents: dict[int, DefaultsSet | None] = field(default_factory=dict)
    settled: set[int] = field(default_factory=set)
    reserved: frozenset[str] = frozenset()
    wholes: dict[int, tuple[Proxy, Proxy]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The keys of cluster.yaml."""
        haproxy = dict(self.haproxy)
        if self.sets:
            haproxy["defaults"] = {entry.name: entry.settings for entry in self.sets}
        if self.raw:
            # In the order in which they are written: `hactl/haproxy/render/document.py`.
            self.raw.sort(key=lambda entry: (_has_proxies(entry[0]), entry[0].header.number))
            haproxy["sections"] = [text for _, text in self.raw]
        return {"services": [service for _, service in self.services], "haproxy": haproxy}

    def add_whole(self, front: Proxy, back: Proxy, whole: Settings) -> None:
        """One service from two sections."""
        self.names[id(front.section)] = f"{back.section.name}{FRONT}"
        self.wholes[id(whole)] = (front, back)
        self.services.append(([front.section, back.section], whole))


def _has_proxies(section: Section) -> bool:
    lines = section.lines if section.kind == ".if" else [section.header]
    return any(line.keyword in PROXIES and not line.prefix for line in lines)


def draft(source: Source, reserved: Collection[str] = ()) -> Draft:
    """Map every section. `reserved`: names that sets of defaults must not have. Raises ConfigErrors for a line that no
    file of HAProxy's can have."""
    made = Draft(source, notes=renew(source), reserved=frozenset(reserved))
    _globals(made)
    behind = _sets(made)
    proxies: list[Proxy] = []
    for section in source.sections:
        if section.kind in PROXIES:
            if (section.kind, section.name) == ("frontend", EXPORTER):
                _left(made, section)
                continue
            made.parents[id(section)] = behind[id(section)]
            proxies.append(proxy(section, behind[id(section)]))
        elif section.kind not in ("global", "defaults"):
            _other(made, section, behind.get(id(section)))
    _services(made, proxies)
    return made


def _left(made: Draft, section: Section) -> None:
    made.notes.append(Note("left", section.header.number, section.header.text, _GENERATED))
    made.settled.update(line.number for line in section.lines)


def _globals(made: Draft) -> None:
    sections = [section for section in made.source.sections if section.kind == "global"]
    lines = [line for section in sections for line in section.lines]
    made.haproxy, notes = global_settings(lines)
    made.notes += [*notes, *late_globals(made.source.sections)]
    for line in made.source.loose:
        if line.keyword.startswith("."):
            made.haproxy.setdefault("extra_global", []).append(line.text)
            made.notes.append(Note("raw", line.number, line.text, "in `extra_global`"))
        else:
            made.notes.append(Note("lost", line.number, line.text, "it stands before the first section"))


def _sets(made: Draft) -> dict[int, DefaultsSet | None]:
    """The sets of defaults; which of them each proxy has behind it. None: hactl's own."""
    taken = {section.name for section in made.source.sections if section.kind == "defaults"} | made.reserved
    by_name: dict[str, DefaultsSet | None] = {}
    behind: dict[int, DefaultsSet | None] = {}
    latest: DefaultsSet | None = DefaultsSet(free_name("haproxy", taken), None)
    nothing, used = latest, False
    for section in made.source.sections:
        if section.kind == "defaults" and section.name == OWN:
            _left(made, section)
            by_name[OWN] = latest = None
        elif section.kind == "defaults":
            latest = _new_set(made, section, by_name, taken)
            by_name[section.name] = latest
        elif _has_proxies(section):
            named = section.parent and _named(made, section, by_name)
            behind[id(section)] = by_name[section.parent] if named else latest
            used = used or behind[id(section)] is nothing
    if used and nothing is not None:
        made.sets.insert(0, nothing)
        made.notes.append(Note("hint", 0, _NO_DEFAULTS))
    return behind


def _named(made: Draft, section: Section, by_name: Mapping[str, DefaultsSet | None]) -> bool:
    if section.parent in by_name:
        return True
    problem = f"`{section.header.text}` names a set of defaults that is not there above it"
    raise ConfigErrors([made.source.problem(section.header, problem, "name one that is, or leave `from` out")])


def _new_set(made: Draft, section: Section, by_name: Mapping[str, DefaultsSet | None], taken: set[str]) -> DefaultsSet:
    sound = _NAME.fullmatch(section.name)
    used = made.reserved | {known.name for known in made.sets}
    name = section.name if sound and section.name not in used else ""
    name = name or free_name(section.name if sound else "imported", taken)
    taken.add(name)
    new = DefaultsSet(name, section, list(section.lines))
    if section.parent and _named(made, section, by_name) and (parent := by_name[section.parent]) is not None:
        # Rules are not handed on from one set of defaults to another. Source: HAProxy's manual, 4 (Proxies).
        handed_on = [line for line in parent.lines if line.keyword not in _RULES]
        new.lines = [*checks_handed_on(handed_on, new.lines), *new.lines]
    made.notes += defaults_settings(new)
    made.names[id(section)] = name
    made.sets.append(new)
    return new


def _other(made: Draft, section: Section, behind: DefaultsSet | None) -> None:
    if section.kind == "peers" and section.name == OWN:
        _left(made, section)
        return
    if section.kind == "userlist" and _NAME.fullmatch(section.name):
        users = userlist(section)
        known = made.haproxy.setdefault("userlists", {})
        if users is not None and section.name not in known:
            known[section.name] = users
            return
        if not known:
            del made.haproxy["userlists"]
    keep_raw(made, section, behind.name if behind else "", "")


def keep_raw(made: Draft, section: Section, parent: str, why: str) -> None:
    """Keep a whole section word for word."""
    made.raw.append((section, section_text(section, parent)))
    reason = f"the whole section{why and f': {why}'}"
    numbers = {line.number for line in (section.header, *section.lines)}
    made.notes = [note for note in made.notes if note.line not in numbers]
    made.notes.append(Note("raw", section.header.number, section.header.text, reason))


def _services(made: Draft, proxies: list[Proxy]) -> None:
    pairs = pair(made, proxies)
    by_name: set[str] = set()
    done: set[int] = set()
    for current in proxies:
        if id(current) in done:
            continue
        made.notes += current.notes
        if (both := pairs.get(id(current))) is not None:
            front, back, whole = both
            done |= {id(front), id(back)}
            made.notes += (back if current is front else front).notes
            by_name.add(back.section.name)
            made.add_whole(front, back, whole)
        elif reason := current.reason or (current.service["name"] in by_name and "another service has the name"):
            keep_raw(made, current.section, current.behind.name if current.behind else OWN, reason)
        else:
            by_name.add(current.service["name"])
            made.services.append(([current.section], current.service))


def refuse_services(made: Draft, refused: Mapping[int, str]) -> None:
    """Keep these services, by their index, as sections word for word; with the reason for each. One that is made from
    a frontend and a backend becomes two services at first: the reason may be with one of them alone."""
    for index in sorted(refused, reverse=True):
        sections, settings = made.services.pop(index)
        if (both := made.wholes.pop(id(settings), None)) is not None:
            made.services[index:index] = take_apart(made, *both)
            continue
        for section in sections:
            parent = made.parents[id(section)]
            made.names.pop(id(section), None)
            keep_raw(made, section, parent.name if parent else OWN, refused[index])


def refuse_set(made: Draft, name: str) -> None:
    """Keep a set of defaults as lines word for word."""
    for defaults in made.sets:
        if defaults.name == name and defaults.section is not None:
            defaults.settings = {"extra": [line.text for line in defaults.lines]}
            made.notes += [Note("raw", line.number, line.text) for line in defaults.section.lines]
