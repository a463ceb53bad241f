"""Directives of old versions: those with a new name get it; for others a note names the replacement.

Source: the messages of HAProxy 2.6 about them.
"""

from __future__ import annotations

from dataclasses import replace

from hactl.haproxy.split_words import Word
from hactl.importers.haproxy.notes import Note
from hactl.importers.haproxy.source import PROXIES, Line, Source

_RENAMED = {
    "clitimeout": "timeout client",
    "contimeout": "timeout connect",
    "srvtimeout": "timeout server",
    "redispatch": "option redispatch",
}
_REPLACED = {
    "reqadd": "http-request add-header",
    "reqdel": "http-request del-header",
    "reqidel": "http-request del-header",
    "reqdeny": "http-request deny",
    "reqideny": "http-request deny",
    "reqrep": "http-request replace-header or replace-path",
    "reqirep": "http-request replace-header or replace-path",
    "reqtarpit": "http-request tarpit",
    "rspadd": "http-response add-header",
    "rspdel": "http-response del-header",
    "rspidel": "http-response del-header",
    "rsprep": "http-response replace-header",
    "rspirep": "http-response replace-header",
    "block": "http-request deny",
    "monitor-net": "http-request return status 200 if { src … }",
    "mode health": "http-request return status 200",
    "option forceclose": "option httpclose, or nothing",
    "option http-tunnel": "nothing",
    "option http_proxy": "http-request set-dst and set-uri",
    "appsession": "stick on",
    "grace": "nothing",
    "bind-process": "nothing",
}


def renew(source: Source) -> list[Note]:
    """Give renamed directives their new names, in `source` itself."""
    notes = []
    for section in source.sections:
        if section.kind not in (*PROXIES, "defaults"):
            continue
        for index, line in enumerate(section.lines):
            if line.keyword in _RENAMED:
                new = tuple(Word(word, word) for word in _RENAMED[line.keyword].split())
                section.lines[index] = replace(line, words=(*new, *line.args))
                wording = f"became `{section.lines[index].text}`: HAProxy has not known it since 2.1"
                notes.append(Note("hint", line.number, line.text, wording))
    return notes


def replaced_by(line: Line) -> str:
    """The replacement of a directive that HAProxy no longer knows; "" for one that it may know."""
    two = f"{line.keyword} {line.values[0]}" if line.args else ""
    new = _REPLACED.get(line.keyword) or _REPLACED.get(two)
    return f"HAProxy knows it no longer, and refuses the file; in its place: {new}" if new else ""
