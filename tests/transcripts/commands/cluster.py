"""The cluster, and its beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.transcripts.commands.command import command
from tests.transcripts.commands.power import boot

if TYPE_CHECKING:
    from hactl.model.health import Then
    from tests.transcripts.play import Play

WELL_MS = 4_000.0


@command(r"nodes (?P<words>.+)")
def _nodes(play: Play, words: str) -> None:
    play.description.node(words)


@command(r"group (?P<name>\w+): (?P<words>.+)")
def _group(play: Play, name: str, words: str) -> None:
    play.description.group(name, words)


@command(r"fencing: (?P<words>.+)")
def _fencing(play: Play, words: str) -> None:
    play.description.fencing(words)


@command(r"health check (?P<name>\w+): (?P<then>unfit|last|attribute)")
def _check(play: Play, name: str, then: Then) -> None:
    play.description.check(name, then)


@command(r"all is well")
def _all_is_well(play: Play) -> None:
    """Every machine boots and every group runs. Time is shown from then on: 10 ms after n1 has renewed."""
    world = play.world
    play.prose.origin = None
    boot(play, ", ".join(world.nodes))
    world.run_until(WELL_MS)
    first = next(iter(world.nodes.values())).daemon
    assert first is not None
    renewed = first.state.session.renewed_at
    while first.state.session.renewed_at == renewed:
        world.run_until(world.now + 1)
    world.run_until(world.now + 10)
    world.checks.at_end()
    play.prose.origin = world.now
    for group in world.plan.cluster.groups:
        owner = next(
            node.name for node in world.nodes.values() if any(name[0] == group.name for name in node.resources.running)
        )
        play.answers.append(f"{owner} runs {group.name}")
