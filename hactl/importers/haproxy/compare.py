"""The promise of an import: the directives of the one file are in the other, section by section.

Before two directives are compared they are brought into one form, so that only the meaning counts:
- spaces, comments and quotes around a word are taken off; a word with a variable stays as it is written;
- durations are in microseconds: with a unit everywhere, without one where HAProxy takes milliseconds (`timeout`,
  servers) or seconds (`stats refresh`);
- `bind` has one address, `*:80` for `:80`, brackets around IPv6; its words have no order, nor have those of `cookie`;
- a server has its own words and those of the `default-server` lines above it, in no order;
- `option httpchk` and the `http-check send` after it are one request;
- the members of a userlist's group may be named by the group or by the user;
- an address on a section's first line is a `bind`; all `global` sections are one.
Rules and conditions of one kind have to come in the same order, and so have servers, lines that capture of requests,
and lines for the format of the log.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from hactl.haproxy.split_words import Word
from hactl.importers.haproxy.binds import header_binds, normal_address
from hactl.importers.haproxy.checks import request_of
from hactl.importers.haproxy.common import LOG_FORMATS, family
from hactl.importers.haproxy.durations import canonical
from hactl.importers.haproxy.proxies import is_capture
from hactl.importers.haproxy.server_words import DURATIONS, Param, overlaid, params
from hactl.importers.haproxy.servers import plain_address
from hactl.importers.haproxy.source import PROXIES, Line, Section, Source

Form = tuple[str, ...]
Key = tuple[str, str]
_RULES = (
    "acl http-request http-response http-after-response tcp-request tcp-response http-check tcp-check use_backend "
    "use-server redirect filter stick"
)
_BARE_MS = ("timeout", "hard-stop-after")


class Directive(NamedTuple):
    """A directive in the form for comparing, and the line that it is from."""

    form: Form
    line: Line


def missing(
    original: Source, made: Source, names: Mapping[int, str], settled: Collection[int] = ()
) -> list[tuple[Line, str]]:
    """The directives of `original` that `made` lacks, each with the problem. `names`: of sections that have another one
    there, by the section's id. `settled`: the numbers of lines that are not looked for."""
    problems: list[tuple[Line, str]] = []
    ours = _sections(original, names)
    theirs = _sections(made, {})
    for key, every in ours.items():
        wanted = [directive for directive in every if directive.line.number not in settled]
        if key not in theirs:
            problems += [(directive.line, f"there is no section `{' '.join(key).strip()}`") for directive in wanted]
            continue
        there = Counter(part.form for part in theirs[key])
        for directive in wanted:
            if there[directive.form] > 0:
                there[directive.form] -= 1
            else:
                problems.append((directive.line, _why(directive)))
        if not problems:
            problems += _disorder(wanted, theirs[key])
    return problems


def added(original: Source, made: Source, names: Mapping[int, str]) -> list[tuple[str, str]]:
    """The lines that `made` has beyond `original`, in the sections that both have: the section's title and the line. A
    set of defaults that is made from another one has the lines of that, too, and is left out."""
    beyond: dict[tuple[str, str], None] = {}
    ours = _sections(original, names)
    theirs = _sections(made, {})
    made_from = {
        names.get(id(section)) for section in original.sections if section.kind == "defaults" and section.parent
    }
    for key, own in ours.items():
        if key[0] == "defaults" and key[1] in made_from:
            continue
        known = Counter(directive.form for directive in own)
        for directive in theirs.get(key, ()):
            if known[directive.form] > 0:
                known[directive.form] -= 1
            else:
                beyond[" ".join(key).strip(), directive.line.text] = None
    return list(beyond)


def _why(directive: Directive) -> str:
    if directive.form[0] == "server":
        return f"the server lacks `{' '.join(directive.form[2:])}`"
    return "it is not in the file that hactl writes"


def _disorder(directives: Sequence[Directive], others: Sequence[Directive]) -> Iterator[tuple[Line, str]]:
    for kind, ours in _in_order(directives).items():
        # Others may stand between them: those of the set of defaults that this one is made from.
        theirs = iter([directive.form for directive in _in_order(others).get(kind, ())])
        if wrong := next((part for part in ours if part.form not in theirs), None):
            yield wrong.line, f"{kind} are in another order"


def _in_order(parts: Sequence[Directive]) -> dict[str, list[Directive]]:
    """The directives that have to come in the same order, each kind for itself."""
    servers: list[Directive] = []
    kinds: dict[str, list[Directive]] = {"servers": servers}
    for part in parts:
        if part.form[1:2] and part.form[1] in _RULES.split():
            kinds.setdefault(f"`{part.form[1]}` lines", []).append(part)
        if is_capture(part.line):
            kinds.setdefault("lines that capture of requests", []).append(part)
        if family(part.line) in LOG_FORMATS:
            kinds.setdefault("lines that say how the log looks", []).append(part)
        is_server = part.line.keyword in ("server", "server-template")
        if is_server and (not servers or servers[-1].line is not part.line):
            servers.append(part)
    return kinds


def _sections(source: Source, names: Mapping[int, str]) -> dict[Key, list[Directive]]:
    by_section: dict[Key, list[Directive]] = {}
    for section in source.sections:
        name = names.get(id(section), section.name)
        key = (section.kind, "" if section.kind == "global" else name)
        directives = by_section.setdefault(key, [])
        directives += _directives(section)
    if source.loose:
        by_section.setdefault(("global", ""), []).extend(Directive(_form(line), line) for line in source.loose)
    return by_section


def _directives(section: Section) -> Iterator[Directive]:
    lines = [*header_binds(section.header, section.arguments), *section.lines]
    if section.kind == "userlist":
        yield from (Directive(form, line) for line in section.lines for form in _members(line))
        return
    if section.kind == ".if":
        yield from (Directive(_without_set(_form(line)), line) for line in section.lines)
        return
    if section.kind not in (*PROXIES, "defaults"):
        yield from (Directive(_form(line), line) for line in section.lines)
        return
    behind: list[Param] = []
    of_lines: dict[int, Line] = {}
    requests = [line for line in lines if _is_request(line)]
    servers = section.kind == "defaults" or any(line.keyword == "server" and not line.literal for line in lines)
    for line in lines:
        if line.literal or line.prefix or (line.keyword == "default-server" and not servers):
            yield Directive(_form(line), line)
        elif line.keyword == "default-server":
            behind = overlaid(behind, params(line.args))
            of_lines.update((id(param), line) for param in behind if id(param) not in of_lines)
        elif line.keyword == "server" and len(line.words) > 2:
            yield from _server(line, behind)
        elif line.keyword == "bind" and line.args:
            yield from _binds(line)
        elif line in requests and (request := request_of(line, requests)):
            yield Directive(("check", *request), line)
        elif line not in requests or not request_of(requests[0], requests):
            yield Directive(_form(line), line)
    if section.kind == "defaults":
        yield from (Directive(("default-server", *_param(param)), of_lines[id(param)]) for param in behind)


def _without_set(form: Form) -> Form:
    """A proxy's first line without the set of defaults, which an import writes out."""
    return form[:3] if form[1] in PROXIES and form[3:4] == ("from",) else form


def _members(line: Line) -> Iterator[Form]:
    """A user or group, and the members of groups: either of them may name these."""
    values = list(line.values)
    word = {"group": "users", "user": "groups"}.get(line.keyword, "")
    if len(values) > 2 and values[-2] == word:
        others = values.pop().split(",")
        values.pop()
        pairs = [(values[0], other) if word == "groups" else (other, values[0]) for other in others]
        yield from (("member", *pair) for pair in pairs)
    yield (line.keyword, *values)


def _is_request(line: Line) -> bool:
    wanted = {"option": "httpchk", "http-check": "send"}.get(line.keyword)
    return bool(wanted) and line.values[:1] == (wanted,) and not line.literal and not line.prefix


def _server(line: Line, behind: Sequence[Param]) -> Iterator[Directive]:
    name, address = line.values[:2]
    yield Directive(("server", name, _address(address)), line)
    for param in overlaid(behind, params(line.words[3:])):
        if param.name != "enabled":
            yield Directive(("server", name, *_param(param)), line)


def _address(text: str) -> str:
    """A server's address: an IP address in its usual form, in brackets, no `:` at the end."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, ""
    host = plain_address(host.strip("[]"))
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else host


def _param(param: Param) -> Form:
    return tuple(_word(word, bare=index == 1 and param.name in DURATIONS) for index, word in enumerate(param.words))


def _binds(line: Line) -> Iterator[Directive]:
    words = [_word(word) for word in line.args[1:]]
    # The first certificate is for clients that ask for no name.
    certificates = [pair for pair in itertools.pairwise(words) if pair[0] in ("crt", "crt-list")]
    for address in line.values[0].split(","):
        yield Directive(("bind", normal_address(address), *sorted({*words}), *(file for _, file in certificates)), line)


def _form(line: Line) -> Form:
    words = list(line.words)
    bare = line.keyword in _BARE_MS
    forms = [_word(word, bare=bare and index > 0) for index, word in enumerate(words)]
    if line.keyword == "stats" and line.values[:1] == ("refresh",) and forms[-1].isdigit():
        forms[-1] = canonical(f"{forms[-1]}s")
    if line.keyword == "cookie":
        forms[2:] = sorted(forms[2:])
    return (line.prefix, *forms)


def _word(word: Word, *, bare: bool = False) -> str:
    return word.raw if "$" in word.raw else canonical(word.value, bare=bare)
