"""Where the time of a takeover or a move goes: the daemons' logs and the client's answers on one clock."""

from __future__ import annotations

from itertools import pairwise

from bench.common import Cluster, Note
from hactl.lab.client import Result

Marks = list[tuple[str, float]]

OWN_STOP, OWN_START = "its own stop", "its own start"


def lost(cluster: Cluster, group: str, dead: str, to: str, begin_ms: float, seen: Result) -> dict[str, float]:
    """The parts of the outage after `dead` was lost at about `begin_ms`; {} when a milestone is missing.

    `credit` is how long before the loss its session was last seen to change (negative: it counts for the
    client); the lease runs from there. With a fence device it is not waited for: see `_fenced`.
    """
    notes = {name: cluster.notes(name, begin_ms) for name in cluster.lab.nodes if name != dead}
    over = [(note, name) for name, logged in notes.items() for note in logged if _is(note, "peer_over", node=dead)]
    deposed = [note.at_ms for logged in notes.values() for note in logged if _is(note, "peer_deposed", node=dead)]
    if not over or not deposed:
        return {}
    first, _ = min(over)
    last_change = first.at_ms - first.data["silent_ms"]
    fenced = _fenced(notes, dead)
    silence = "suspected" if fenced else "lease over"
    marks: Marks = [("", seen.gap[0]), ("credit", last_change), (silence, first.at_ms), ("depose", min(deposed))]
    marks += fenced
    return _parts([*marks, *_taken(notes[to], group, "group_acquire", "acquire"), ("answer", seen.gap[1])])


def moved(cluster: Cluster, group: str, old: str, new: str, begin_ms: float, seen: Result) -> dict[str, float]:
    """The parts of the outage of a planned move of a group that must not overlap; {} when one is missing.

    The first (OWN_STOP) and the last (OWN_START) are the service's; the parts between are the cluster's.
    """
    stopped = [note for note in cluster.notes(old, begin_ms) if _is(note, "resource_stopped", group=group)]
    left = [note.at_ms for note in cluster.notes(old, begin_ms) if _is(note, "group_leaving", group=group)]
    taken = _taken(cluster.notes(new, begin_ms), group, "group_accept", "accept")
    if len(stopped) < 2 or not left or len(taken) < 3:
        return {}
    marks: Marks = [("", seen.gap[0]), (OWN_STOP, stopped[0].at_ms), ("address off", stopped[-1].at_ms)]
    # The service is started when its address is there; whether it answers by then is nobody's but its own.
    marks += [("hand over", left[0]), *taken[:-1], (OWN_START, seen.gap[1])]
    return _parts(marks)


def _fenced(notes: dict[str, list[Note]], dead: str) -> Marks:
    """The job written down, `off` and `status` answered, and the record safe; [] when the node was not fenced."""
    about = [note for logged in notes.values() for note in logged if note.data.get("node") == dead]
    about.sort(key=lambda note: note.at_ms)
    marks: Marks = []
    for name, event, action in (("claim", "fence_action", "off"), ("off", "fence_acted", "off"),
                                ("status", "fence_acted", "status")):  # fmt: skip
        marks += [(name, note.at_ms) for note in about if _is(note, event, action=action)][:1]
    return marks if len(marks) == 3 else []


def _taken(notes: list[Note], group: str, event: str, name: str) -> Marks:
    """From the write of the ownership on: that, and each resource started."""
    marks = [(name, note.at_ms) for note in notes if _is(note, event, group=group)][:1]
    started = [note for note in notes if _is(note, "resource_started", group=group)]
    return marks + [(f"start {note.data['resource']}", note.at_ms) for note in started]


def _is(note: Note, event: str, **data: str) -> bool:
    return note.event == event and all(note.data.get(key) == value for key, value in data.items())


def _parts(marks: Marks) -> dict[str, float]:
    return {name: round(at - before, 1) for (_, before), (name, at) in pairwise(marks)}
