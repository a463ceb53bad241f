"""Resources, devices and other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from election.records import CheckReport
from hactl.model import events
from tests.simulation import clones
from tests.simulation.faults import inject
from tests.simulation.plan import Fault
from tests.transcripts.commands.command import command
from tests.transcripts.world import NEVER

if TYPE_CHECKING:
    from tests.transcripts.play import Play


@command(r"(?P<group>\w+)/(?P<resource>\w+) dies on (?P<name>\S+)")
def _dies(play: Play, group: str, resource: str, name: str) -> None:
    node = play.node(name)
    node.tell(f"{group}/{resource} dies")
    node.resources.die((group, resource))


@command(r"(?P<group>\w+) cannot be (?P<action>start|register)ed on (?P<name>\S+)")
def _cannot_run(play: Play, group: str, action: Literal["start", "register"], name: str) -> None:
    play.world.plan.broken[name, group] = action


@command(r"a start of (?P<group>\w+) on (?P<name>\S+) hangs")
def _start_hangs(play: Play, group: str, name: str) -> None:
    play.world.plan.broken[name, group] = "hang"


@command(r"nobody can tell whether (?P<group>\w+) runs on (?P<name>\S+)")
def _cannot_tell(play: Play, group: str, name: str) -> None:
    play.world.plan.broken[name, group] = "probe"


@command(r"(?P<group>\w+) works again on (?P<name>\S+)")
def _works(play: Play, group: str, name: str) -> None:
    play.world.plan.broken.pop((name, group), None)
    play.world.unstoppable.pop(group, None)


@command(r"(?P<group>\w+) cannot be stopped")
def _cannot_stop(play: Play, group: str) -> None:
    play.world.unstoppable[group] = NEVER


@command(r"(?P<name>\S+) becomes (?P<level>ready|poor|unfit) for (?P<group>\w+)")
def _readiness(play: Play, name: str, level: events.ReadinessLevel, group: str) -> None:
    node = play.node(name)
    node.readiness[group] = level
    node.observe(group)


@command(r"(?P<names>\S+(, \S+)*) (?P<how>fails?|pass(es)?) the health check (?P<check>\w+)")
def _health(play: Play, names: str, how: str, check: str) -> None:
    for name in names.split(", "):
        node = play.node(name)
        assert node.daemon is not None
        known: CheckReport = {"ok": how.startswith("pass"), "text": "value and limit"}
        node.deliver(node.daemon, events.NodeChecked({**(node.daemon.state.checks or {}), check: known}))


@command(r"the HAProxy of (?P<names>\S+(?:, \S+)*) (?P<how>answers|does not answer) for (?P<service>\w+)")
def _served(play: Play, names: str, how: str, service: str) -> None:
    """For all other services it answers as before."""
    for name in names.split(", "):
        node = play.node(name)
        assert node.daemon is not None
        seen = node.daemon.state.haproxy or events.HaproxySeen("")
        failing = {other: why for other, why in seen.failing.items() if other != service}
        if how != "answers":
            failing[service] = "HAProxy finds none of its servers up"
        node.deliver(node.daemon, events.HaproxySeen("", frozenset(), failing))


@command(r"(?P<names>\S+(?:, \S+)*) (?P<how>reach|cannot reach) (?P<group>\w+)")
def _probed(play: Play, names: str, how: str, group: str) -> None:
    """The verdict of these nodes' probes of a group's address."""
    epoch = play.view.groups[group].record.epoch
    for name in names.split(", "):
        node, why = play.node(name), "" if how == "reach" else "no answer within 0.2 s"
        node.tell(f"{'reaches' if how == 'reach' else 'cannot reach'} {group} as a client")
        node.deliver(node.daemon, events.GroupProbed(group, epoch, not why, why))


@command(r"(?P<device>\S+) (?P<mode>does not answer|fails)")
def _device(play: Play, device: str, mode: str) -> None:
    play.world.devices.disturb(device, "fails" if mode == "fails" else "deaf", NEVER)


@command(r"(?P<device>\S+) answers again")
def _device_answers(play: Play, device: str) -> None:
    play.world.devices.modes.pop(device)


@command(r"boot a copy of the disk of (?P<name>\S+)(?P<other>, on other hardware)?")
def _clone(play: Play, name: str, other: str | None) -> None:
    inject(play.world, Fault(play.world.now, "clone", name, NEVER, 0.1 if other else 0.4))


@command(r"power off the copy of (?P<name>\S+)")
def _remove_clone(play: Play, name: str) -> None:
    clones.remove(play.world, f"{name}/clone")


@command(r"the score of (?P<name>\S+) for (?P<group>\w+) is (?P<score>\d+)")
def _score(play: Play, name: str, group: str, score: str) -> None:
    play.node(name).resources.scores[group] = int(score)
