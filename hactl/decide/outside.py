"""Interference with a group's resources here from outside of hactl: an address removed, one that another station has,
too, a copy started by hand. Interference that is put right is noted as it happens; if it happens again and again, or
cannot be put right, it is a warning in this node's report until it is over. Pure.

So that a script that removes an address a hundred times a second does not fill the history, an event is noted the first
three times, and then when there were 10, 30, 100, … of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from election.clock import owner_elapsed
from election.records import ResourceWarning
from hactl.decide.local_group import Interference, LocalGroup
from hactl.decide.reading import ReadGroup, ReadState
from hactl.decide.state import NodeState, Out
from hactl.model.events import Observed, Warned

# An interference that has not happened for so long is over, in ms.
QUIET_MS = 600_000.0
# So often before that it is a warning.
OFTEN = 3

PUT_RIGHT, STRAY, STUCK, TWIN = "put_right", "stray", "stuck", "twin"
# Of a systemd unit, whether it runs here or not: something beside hactl starts it, too; nothing would hinder that.
ALSO_STARTED, UNGUARDED = "also_started", "unguarded"
_WHEREVER_IT_RUNS = (ALSO_STARTED, UNGUARDED)


def observed(run: LocalGroup, event: Observed, out: Out) -> None:
    """Take the rest of an observation, beside the health."""
    if event.put_right and _happened(run, event.resource, PUT_RIGHT, event.put_right, out) < OFTEN:
        out.note("resource_put_right", group=run.spec.name, resource=event.resource, what=event.put_right)
    if event.warned is not None and event.warned.text:
        _begins(run, event.resource, event.warned, out)
    elif event.warned is not None:
        _ends(run, event.resource, event.warned.topic, out)


def appeared(state: NodeState, run: LocalGroup, event: Observed, out: Out) -> None:
    """A resource that was stopped here was found running."""
    if state.role(run.spec.name) == "other":
        _happened(run, event.resource, STRAY, "something else starts it here, where the group does not run", out)
    if tells(run, event.resource):
        data = {"resource": event.resource, "health": event.health, "detail": event.detail}
        out.note("resource_appeared", group=run.spec.name, **data)


def stopped(run: LocalGroup, resource: str, out: Out) -> None:
    """Nothing of a resource is here any more: what was wrong with it while it ran is over."""
    for name, topic in [
        key
        for key, interference in run.interferences.items()
        if key[0] == resource and interference.lasts and key[1] not in _WHEREVER_IT_RUNS
    ]:
        _ends(run, name, topic, out)


def tells(run: LocalGroup, resource: str = "") -> bool:
    """Whether acting on a resource that was found here (or on any) is worth a note of its own."""
    return all(
        _is_milestone(interference.count)
        for (name, topic), interference in run.interferences.items()
        if topic == STRAY and resource in ("", name)
    )


def expire(run: LocalGroup, out: Out) -> None:
    """Forget what has not happened for long."""
    for key, interference in list(run.interferences.items()):
        if not interference.lasts and owner_elapsed(interference.last, out.now) >= QUIET_MS:
            del run.interferences[key]
            if interference.count >= OFTEN:
                out.note("resource_warning_over", group=run.spec.name, resource=key[0], what=interference.text)


def warnings(state: ReadState) -> tuple[ResourceWarning, ...]:
    """The warnings of this node's report, of its resources."""
    runs = sorted(state.all_here(), key=lambda run: run.spec.name)
    return tuple(warning for run in runs for warning in _of_group(state, run))


def _of_group(state: ReadState, run: ReadGroup) -> Iterator[ResourceWarning]:
    group = run.spec.name
    for (resource, topic), interference in sorted(run.interferences.items()):
        if interference.lasts or interference.count >= OFTEN:
            yield ResourceWarning(group, resource, topic, _text(interference), interference.mac)
    if run.stop_failed and state.role(group) == "other":
        yield ResourceWarning(group, "", STUCK, run.stop_failed)


def _text(interference: Interference) -> str:
    if interference.count < OFTEN:
        return interference.text
    often = max(step for step in _milestones(interference.count) if step <= interference.count)
    return f"{interference.text}; that has happened {often} times or more"


def _happened(run: LocalGroup, resource: str, topic: str, text: str, out: Out) -> int:
    """It has happened once more, so many times in all."""
    before = run.interferences.get((resource, topic))
    interference = run.interferences[resource, topic] = Interference(text, out.now, before.count + 1 if before else 1)
    if interference.count >= OFTEN and _is_milestone(interference.count):
        out.note("resource_warning", group=run.spec.name, resource=resource, what=_text(interference))
    return interference.count


def _begins(run: LocalGroup, resource: str, warned: Warned, out: Out) -> None:
    before = run.interferences.get((resource, warned.topic))
    if before is not None and before.lasts and before.text == warned.text:
        return
    count = before.count + (not before.lasts) if before else 1
    run.interferences[resource, warned.topic] = Interference(warned.text, out.now, count, True, warned.mac)
    if _is_milestone(count):
        out.note("resource_warning", group=run.spec.name, resource=resource, what=warned.text)


def _ends(run: LocalGroup, resource: str, topic: str, out: Out) -> None:
    interference = run.interferences.get((resource, topic))
    if interference is not None and interference.lasts:
        interference.lasts, interference.last = False, out.now
        if _is_milestone(interference.count):
            out.note("resource_warning_over", group=run.spec.name, resource=resource, what=interference.text)


def _is_milestone(count: int) -> bool:
    return count < OFTEN or count in _milestones(count)


def _milestones(count: int) -> list[int]:
    """3, 10, 30, 100, … up to the first that is greater than `count`."""
    steps = [OFTEN]
    while steps[-1] <= count:
        steps.append(steps[-1] // 3 * 10 if steps[-1] % 3 == 0 else steps[-1] * 3)
    return steps
