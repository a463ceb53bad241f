"""Unreadable documents in the store, for people: the key, the problem, what waits for it, and the fix. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from election.reading import ReadView
from election.text import printable
from election.view import Unreadable

# So many are shown in the status; the others are counted.
SHOWN = 20

# The kinds that groups wait for.
_WAITED = ("identity", "groups", "nodes", "fence", "blocked")

# No key of any kind goes on for so long below the cluster's prefix: two names of 63 characters, and its kind.
LONGEST_NAME = 200


class Advice(NamedTuple):
    """`level` of the warning, what waits for the document, what to type."""

    level: str
    waits: str
    fix: str


def shown(view: ReadView, etcdctl: str = "etcdctl") -> list[dict[str, str]]:
    """The first SHOWN by key: `key`, `problem`, `level`, `waits`, `fix`. `etcdctl`: as it has to be typed."""
    worst = [(key, view.unreadable[key]) for key in _worst_first(view)]
    return [
        {"key": printable(key), "problem": bad.problem, **_advice(view, key, bad, etcdctl)._asdict()}
        for key, bad in worst
    ]


def _worst_first(view: ReadView) -> list[str]:
    """The first SHOWN, those that something waits for before all others; of as bad ones by key."""
    waited = [view.keys.of_kind(kind, name) for kind in _WAITED for name in sorted(view.unread(kind))][:SHOWN]
    others = set(waited)
    return [*waited, *heapq.nsmallest(SHOWN - len(waited), (key for key in view.unreadable if key not in others))]


def warnings(documents: list[dict[str, str]], view: ReadView, etcdctl: str) -> Iterator[tuple[str, str, str]]:
    """Level, what and do, of what is `shown`."""
    for document in documents:
        waits = f"; {document['waits']}" if document["waits"] else ""
        yield document["level"], f"{document['key']} cannot be read: {document['problem']}{waits}", document["fix"]
    if (more := len(view.unreadable) - SHOWN) > 0:
        listing = f"`{etcdctl} get --prefix --keys-only {_quoted(view.keys.prefix)}`"
        todo = f"look at what writes below this prefix: {listing}"
        yield "error", f"{more} more documents in etcd cannot be read", todo


def _advice(view: ReadView, key: str, bad: Unreadable, etcdctl: str) -> Advice:
    kind, name = view.keys.kind_of(key)
    if view.misnamed(key):
        todo = f"{_delete_misnamed(view, key, etcdctl)}; or upgrade hactl here, if a newer one has written it"
        return Advice("warning", "", todo)
    delete = f"`{etcdctl} del {_quoted(key)}`"
    earlier = f"`{etcdctl} get {_quoted(key)} --rev={bad.mod_revision - 1} --print-value-only`"
    # A key that was made anew with this has no earlier value.
    restore = f"put back what {earlier} shows, with `{etcdctl} put`; " if bad.create_revision < bad.mod_revision else ""
    match kind:
        case "identity":
            fix = f"{restore}do not delete it" if restore else "`hactl recover`"
            return Advice("error", "nothing is taken over or moved", fix)
        case "groups":
            waits = f"group {name} goes on where it runs, and no node takes it"
            return Advice("error", waits, f"{restore}{restore and 'or '}{delete}: it is looked for on all nodes then")
        case "nodes":
            waits = f"nothing is taken from {name}"
            return Advice("error", waits, f"a hactl that lives on {name} writes it anew; if none does, {delete}")
        case "fence":
            waits = f"{name} is not known to be stopped, and does not come back" if name not in view.sessions else ""
            off = f"make sure that {name} is off and no fence device is at it, {delete}, `hactl fence confirm {name}`"
            todo = f"{restore}{restore and 'or '}{off}"
            return Advice("error", waits, todo) if waits else Advice("warning", "", delete)
        case "blocked":
            return Advice("error", f"no node starts group {name}", f"when it is repaired: `hactl group cleanup {name}`")
    return Advice("warning", _IGNORED.get(kind, ""), delete)


_IGNORED = {
    "failures": "it keeps the group off no node",
    "flapping": "the group is not held, and its next owner counts its moves anew",
    "intents/move": "nothing is moved",
    "intents/drain": "the server is drained all the same",
    "intents/stopped": "the group is stopped all the same",
    "intents/ban": "the group is kept off the node all the same",
    "intents/restart": "nothing is restarted",
    "intents/scheduled": "nothing is moved",
    "reports": "the node writes it anew",
}


def _delete_misnamed(view: ReadView, key: str, etcdctl: str) -> str:
    """No key that is any document's is so long, so all that begin like it may go with it."""
    if "\0" in key:
        return "delete it by a program of your own: it has a zero byte, which no shell can pass on"
    cut = len(view.keys.prefix) + LONGEST_NAME
    return f"`{etcdctl} del {_quoted(key)}`" if len(key) <= cut else f"`{etcdctl} del --prefix {_quoted(key[:cut])}`"


def _quoted(key: str) -> str:
    """The very key for a shell; what cannot be typed, or is lost where lines break, as bash, ksh and zsh take it."""
    if key.isprintable() and " " not in key:
        return "'" + key.replace("'", "'\\''") + "'"
    return "$'" + "".join(map(_typed, key)) + "'"


def _typed(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable() and char != " ":
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode(errors="surrogateescape"))
