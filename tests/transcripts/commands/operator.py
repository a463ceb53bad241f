"""The operator: the product's own actions (hactl.admin)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from election.observer import limit_ms
from hactl.admin import identity, requests
from hactl.admin.actions import Left
from tests.simulation.operator import configure
from tests.transcripts.commands.command import command

if TYPE_CHECKING:
    from hactl.model.cluster import GroupSpec
    from tests.transcripts.play import Play


@command(r"hactl failover (?P<group>\w+)(?: --to (?P<to>\S+))?")
def _failover(play: Play, group: str, to: str | None) -> None:
    play.operate(requests.Failover(group, to or ""))


@command(r"hactl failover (?P<group>\w+) --to (?P<to>\S+) --at the (?P<seconds>\d+)th second")
def _schedule(play: Play, group: str, to: str, seconds: str) -> None:
    origin = play.prose.origin or 0.0
    play.operate(requests.Schedule(group, play.world.wall_ms() - play.world.now + origin + float(seconds) * 1000, to))


@command(r"hactl node standby (?P<name>\S+)")
def _standby(play: Play, name: str) -> None:
    play.operate(requests.Standby(name))


@command(r"hactl node online (?P<name>\S+)")
def _online(play: Play, name: str) -> None:
    play.operate(requests.Online(name))


@command(r"hactl fence confirm (?P<name>\S+)")
def _confirm(play: Play, name: str) -> None:
    fence = play.view.fences.get(name)
    left = 0.0
    if fence is not None:  # as the daemon that is asked would count it
        left = max(
            limit_ms(fence.record.lease_ms) - node.clock().boot + seen.since.boot
            for node in play.world.nodes.values()
            if node.daemon and (seen := node.daemon.state.observer.dead.get(name))
        )
    play.operate(requests.Confirm(name), Left(left))


@command(r"hactl fence (?P<name>\S+)(?P<off> --off)?")
def _fence(play: Play, name: str, off: str | None) -> None:
    view = play.view
    if name in view.sessions:
        play.world.checks.ordered.add((name, view.sessions[name].record.session_id))
    play.operate(requests.Fence(name, "off" if off else "reboot"))


@command(r"hactl group cleanup (?P<group>\w+)")
def _cleanup(play: Play, group: str) -> None:
    play.operate(requests.Cleanup(group, ""))
    play.world.checks.cleaned(group)


@command(r"hactl group stop (?P<group>\w+)(?P<yes> --yes)?")
def _stop(play: Play, group: str, yes: str | None) -> None:
    play.operate(requests.Stop(group, force=bool(yes)))


@command(r"hactl group start (?P<group>\w+)")
def _start(play: Play, group: str) -> None:
    play.operate(requests.Start(group))


@command(r"hactl group restart (?P<group>\w+)")
def _restart(play: Play, group: str) -> None:
    play.operate(requests.Restart(group))


@command(r"hactl group ban (?P<group>\w+) (?P<name>\S+)(?: --for (?P<seconds>\d+)s)?")
def _ban(play: Play, group: str, name: str, seconds: str | None) -> None:
    play.operate(requests.Ban(group, name, float(seconds or 0) * 1000))


@command(r"hactl group clear (?P<group>\w+)")
def _clear(play: Play, group: str) -> None:
    play.operate(requests.Clear(group))


@command(r"hactl maintenance on --node (?P<name>\S+)(?: --for (?P<seconds>\d+)s)?")
def _node_maintenance(play: Play, name: str, seconds: str | None) -> None:
    play.operate(requests.NodeMaintenance(name, float(seconds or 0) * 1000))


@command(r"hactl maintenance off --node (?P<name>\S+)")
def _end_node_maintenance(play: Play, name: str) -> None:
    play.operate(requests.EndNodeMaintenance(name))


@command(r"hactl maintenance on(?: --group (?P<group>\w+))?(?: --for (?P<seconds>\d+)s)?")
def _maintenance(play: Play, group: str | None, seconds: str | None) -> None:
    play.operate(requests.Maintenance(group or "", float(seconds or 0) * 1000))


@command(r"hactl maintenance off(?: --group (?P<group>\w+))?")
def _end_maintenance(play: Play, group: str | None) -> None:
    play.operate(requests.EndMaintenance(group or ""))


@command(r"hactl recover")
def _recover(play: Play) -> None:
    world = play.world
    known = max(node.daemon.state.generation for node in world.nodes.values() if node.daemon)
    names = [node.name for node in world.plan.cluster.nodes]
    document = world.config_text(play.cluster)
    identity.recover(play.store, play.view, known, names, world.plan.cluster.timing.lease_ms, document)
    world.checks.history_broken = False


@command(r"hactl config apply, with (?P<group>\w+): enabled (?P<enabled>true|false)")
def _enabled(play: Play, group: str, enabled: str) -> None:
    assert play.cluster is not None
    groups = tuple(
        replace(spec, enabled=enabled == "true") if spec.name == group else spec for spec in play.cluster.groups
    )
    play.cluster = replace(play.cluster, groups=groups)
    configure(play.world, play.cluster)


@command(r"hactl config apply, with another definition of (?P<group>\w+)")
def _redefined(play: Play, group: str) -> None:
    assert play.cluster is not None

    def other(spec: GroupSpec) -> GroupSpec:
        resources = (
            msgspec.structs.replace(resource, stop_timeout_ms=resource.stop_timeout_ms + 1000)
            for resource in spec.resources
        )
        return replace(spec, resources=tuple(resources)) if spec.name == group else spec

    play.cluster = replace(play.cluster, groups=tuple(map(other, play.cluster.groups)))
    configure(play.world, play.cluster)


@command(r"hactl config apply, with something that no daemon can read")
def _unreadable(play: Play) -> None:
    configure(play.world, None)
