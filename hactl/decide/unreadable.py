"""What in the store cannot be read, for people: the key, why, what waits for it, and the command that helps. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from election.records import printable
from election.view import Unreadable, View

# Of how many the status says which; the others are counted.
SHOWN = 20


class Advice(NamedTuple):
    """`level` of the warning, what waits for the document, what to type."""

    level: str
    waits: str
    fix: str


def shown(view: View) -> list[dict[str, str]]:
    """The first SHOWN by key: `key`, `problem`, `level`, `waits`, `fix`."""
    found = []
    for key in sorted(view.unreadable)[:SHOWN]:
        bad = view.unreadable[key]
        advice = _advice(view, key, bad)
        found.append({"key": printable(key), "problem": bad.problem, **advice._asdict()})
    return found


def warnings(view: View) -> Iterator[tuple[str, str, str]]:
    """Level, what and do."""
    for one in shown(view):
        waits = f"; {one['waits']}" if one["waits"] else ""
        yield one["level"], f"{one['key']} cannot be read: {one['problem']}{waits}", one["fix"]
    if (more := len(view.unreadable) - SHOWN) > 0:
        yield "error", f"{more} more documents in etcd cannot be read", "look at what writes below this prefix"


def _advice(view: View, key: str, bad: Unreadable) -> Advice:
    kind, name = view.keys.kind_of(key)
    quoted, revision = _quoted(key), bad.mod - 1
    delete = f"`etcdctl del {quoted}`"
    restore = f"put back what `etcdctl get {quoted} --rev={revision} --print-value-only` shows, with `etcdctl put`"
    if view.misnamed(key):
        return Advice("warning", "", f"{delete}; or upgrade hactl here, if a newer one has written it")
    match kind:
        case "identity":
            return Advice("error", "nothing is taken over or moved", f"{restore}; do not delete it")
        case "groups":
            waits = f"group {name} goes on where it runs, and nobody takes it"
            return Advice("error", waits, f"{restore}; or {delete}: it is looked for on all nodes then")
        case "nodes":
            waits = f"nothing is taken from {name}"
            return Advice("error", waits, f"a hactl that lives on {name} writes it anew; if none does, {delete}")
        case "fence":
            waits = f"{name} is not known to be stopped, and does not come back" if name not in view.sessions else ""
            confirm = (
                f"or make sure that {name} is off and no fence device is at it, {delete}, `hactl fence confirm {name}`"
            )
            return Advice("error" if waits else "warning", waits, f"{restore}; {confirm}" if waits else delete)
    return Advice("warning", _IGNORED.get(kind, ""), delete)


_IGNORED = {
    "failures": "it keeps the group off no node",
    "intents/move": "nothing is moved",
    "intents/drain": "the server is drained all the same",
    "reports": "the node writes it anew",
}


def _quoted(key: str) -> str:
    return "'" + printable(key).replace("'", "'\\''") + "'"
