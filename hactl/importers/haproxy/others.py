"""`global`, userlists, and the sections that are kept word for word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hactl.haproxy.diff.statements import read_statement
from hactl.haproxy.split_words import Word
from hactl.haproxy.words import SECTIONS
from hactl.importers.haproxy.binds import header_binds
from hactl.importers.haproxy.common import Settings, Taken, family, last, number
from hactl.importers.haproxy.durations import to_setting
from hactl.importers.haproxy.notes import Note
from hactl.importers.haproxy.source import PROXIES, Line, Section

_HACTL_SEES_TO = {
    "daemon": "hactl keeps HAProxy in the foreground and watches it",
    "pidfile": "hactl knows the process",
    "master-worker": "hactl runs HAProxy so",
    "node": "hactl writes each node's own name",
    "quiet": "hactl reads what HAProxy says",
    "server-state-file": "hactl keeps what is known of the servers over a reload",
    "server-state-base": "hactl keeps what is known of the servers over a reload",
}
_LOST = {
    "localpeer": "it is another one on every node; give the peers the nodes' host names",
    "nbproc": "HAProxy has had threads in its place since 2.5",
}
_ENVIRONMENT = ("setenv", "presetenv", "resetenv", "unsetenv")
# Directives that hold for the lines behind them.
_FROM_HERE_ON = (
    *("crt-base", "ca-base", "default-path", "unix-bind", "resetenv", "unsetenv"),
    *("ssl-default-bind-options", "ssl-default-bind-ciphers", "ssl-default-bind-ciphersuites"),
    *("ssl-default-server-options", "ssl-default-server-ciphers", "ssl-default-server-ciphersuites"),
)
# As hactl writes them.
_OWN_LINES = re.compile(r"stats socket \S+/stats\.sock mode 600 level admin expose-fd listeners|stats timeout 30s")
_CRYPTED = re.compile(r"\$[0-9A-Za-z]+\$[!-~]+|[./0-9A-Za-z]{13}")


def global_settings(lines: Sequence[Line]) -> tuple[Settings, list[Note]]:
    """The settings of `haproxy`, from all `global` sections."""
    taken = Taken(lines)
    lost: list[Note] = []
    for line in lines:
        if line.keyword in _LOST and not line.literal:
            taken.take([line])
            lost.append(Note("lost", line.number, line.text, _LOST[line.keyword]))
        elif line.keyword in _HACTL_SEES_TO and not line.literal:
            taken.leave_out(line, _HACTL_SEES_TO[line.keyword])
        elif _OWN_LINES.fullmatch(line.text) and not line.literal:
            taken.leave_out(line, "hactl writes the same")
    settings: Settings = {"maxconn": last(taken, "maxconn", number)}
    if threads := last(taken, "nbthread", number):
        settings["nbthread"] = threads
    settings.update(_identity(taken))
    if limit := last(taken, "hard-stop-after", lambda line: to_setting(_word(line) or "")):
        settings["hard_stop_after"] = limit
    settings["log"] = _log(taken)
    if taken.left:
        settings["extra_global"] = [line.text for line in taken.left]
    reasons = {"stats socket": "beside hactl's own socket"}
    kept = [Note("raw", line.number, line.text, reasons.get(family(line), "")) for line in taken.left]
    return settings, [*lost, *taken.notes, *kept]


def late_globals(sections: Sequence[Section]) -> Iterator[Note]:
    """Directives of a `global` that stands behind other sections, and held from there on."""
    above = ""
    for section in sections:
        for line in section.lines if section.kind == "global" else ():
            variable = line.values[0] if line.keyword in _ENVIRONMENT and line.args else ""
            known = re.search(rf"\$\{{?{re.escape(variable)}\b", above) if variable else line.keyword in _FROM_HERE_ON
            if known and above:
                reason = "holds for the sections above it, too: hactl writes one `global`, before everything"
                yield Note("hint", line.number, line.text, reason)
        if section.kind != "global":
            above += "".join(f"{line.text}\n" for line in (section.header, *section.lines))


def _word(line: Line) -> str | None:
    return line.values[0] if line.plain and len(line.args) == 1 else None


def _identity(taken: Taken) -> Settings:
    """`user` and `group`. Where the file says nothing of either hactl's own holds."""
    named = any(taken.family(name) for name in ("user", "group", "uid", "gid"))
    identity = {name: last(taken, name, _word) or "" for name in ("user", "group")}
    return identity if named else {}


def _log(taken: Taken) -> list[str]:
    """The `log` lines. Where the environment is set up for them they stay behind that."""
    lines = taken.family("log")
    environment = any(line.keyword in _ENVIRONMENT for line in taken.left)
    if any(line.literal or line.prefix or not line.args for line in lines):
        return []
    if environment and any("$" in line.text for line in lines):
        return []
    taken.take(lines)
    return [line.rest() for line in lines]


def userlist(section: Section) -> list[Settings] | None:
    """The users of a list; None where a password is in the clear, or hactl has no words for a line."""
    users: dict[str, Settings] = {}
    groups: dict[str, list[str]] = {}
    for line in section.lines:
        if not line.plain or len(line.args) < 1:
            return None
        statement = read_statement([word.raw for word in line.words])
        words = statement.words if statement.name else statement.words[1:]
        name = statement.name or line.values[0]
        if line.keyword == "group" and (not words or (len(words) == 2 and words[0] == "users")):
            groups[name] = words[1].split(",") if words else []
        elif line.keyword == "user" and name not in users and _is_user(words):
            users[name] = {"name": name, "password": words[1]}
            for group in words[3].split(",") if len(words) == 4 else ():
                users[name].setdefault("groups", []).append(group)
        else:
            return None
    return _with_groups(users, groups)


def _is_user(words: Sequence[str]) -> bool:
    """Whether these follow a user's name: a crypted password, and perhaps groups."""
    grouped = len(words) == 2 or (len(words) == 4 and words[2] == "groups")
    return grouped and words[0] == "password" and _CRYPTED.fullmatch(words[1]) is not None


def _with_groups(users: dict[str, Settings], groups: dict[str, list[str]]) -> list[Settings] | None:
    for group, members in groups.items():
        for member in members:
            if member not in users:
                return None
            if group not in users[member].setdefault("groups", []):
                users[member]["groups"].append(group)
    used = {group for user in users.values() for group in user.get("groups", ())}
    return list(users.values()) if users and used == set(groups) else None


def section_text(section: Section, parent: str = "") -> str:
    """A whole section, or several inside a condition, word for word. `parent`: the set of defaults of the proxies."""
    if section.kind == ".if":
        lines = section.lines
    else:
        binds = header_binds(section.header, section.arguments)
        words = tuple(word for word in section.header.words if word not in section.arguments)
        lines = [replace(section.header, words=words), *binds, *section.lines]
    texts = []
    for line in lines:
        begins = line.keyword in SECTIONS and not line.prefix
        # Inside a condition the proxies are several, and each that names a set names its own.
        named = section.kind == ".if" and "from" in line.values
        if begins:
            head = replace(line, words=(Word(line.keyword, line.keyword), *line.args))
            texts.append(_from(head, parent) if line.keyword in PROXIES and not named else head.text)
        else:
            texts.append(line.text if line.keyword.startswith(".") else f"    {line.text}")
    return "\n".join(texts)


def _from(header: Line, parent: str) -> str:
    words = [word.raw for word in header.words]
    if parent and "from" not in words:
        words += ["from", parent]
    elif parent:
        words[words.index("from") + 1 :] = [parent]
    return " ".join(words)
