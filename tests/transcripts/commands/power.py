"""Time, the power of machines, and their processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hactl.model import events
from tests.transcripts.commands.command import command
from tests.transcripts.world import NEVER

if TYPE_CHECKING:
    from tests.transcripts.play import Play

# Nodes are started one after the other, so that they do not all do the same at the same time.
APART_MS = 80.0


@command(r"after (?P<seconds>[\d.]+) s")
def _after(play: Play, seconds: str) -> None:
    play.world.run_until(play.world.now + 1000 * float(seconds))


@command(r"boot (?P<names>\w+(?:, \w+)*)")
def boot(play: Play, names: str) -> None:
    for number, name in enumerate(names.split(", ")):
        play.world.after(number * APART_MS, play.node(name).power_on)


@command(r"power off (?P<name>\S+)")
def _power_off(play: Play, name: str) -> None:
    play.node(name).power_off()


@command(r"power on (?P<name>\S+)")
def _power_on(play: Play, name: str) -> None:
    play.node(name).power_on()


@command(r"(?P<name>\S+) freezes for (?P<seconds>[\d.]+) s")
def _freeze(play: Play, name: str, seconds: str) -> None:
    play.world.plan.trusted = False
    play.node(name).frozen_until = play.world.now + 1000 * float(seconds)


@command(r"kill the daemon of (?P<name>\S+)")
def _kill_daemon(play: Play, name: str) -> None:
    play.node(name).kill_daemon()


@command(r"kill the daemon of (?P<name>\S+), and again whenever it starts")
def _keep_killing(play: Play, name: str) -> None:
    play.node(name).restart_blocked_until = NEVER
    play.node(name).kill_daemon()


@command(r"the daemon of (?P<name>\S+) hangs for (?P<seconds>[\d.]+) s")
def _hang(play: Play, name: str, seconds: str) -> None:
    daemon = play.node(name).daemon
    assert daemon is not None
    daemon.paused_until = play.world.now + 1000 * float(seconds)


@command(r"kill the guard of (?P<name>\S+)")
def _kill_guard(play: Play, name: str) -> None:
    play.node(name).kill_guard()


@command(r"systemctl stop hactl on (?P<name>\S+)(?P<keep>, with on_sigterm = \"keep\")?")
def _stop(play: Play, name: str, keep: str | None) -> None:
    node = play.node(name)
    node.deliver(node.daemon, events.Shutdown(not keep))


@command(r"systemctl start hactl on (?P<name>\S+)")
def _start(play: Play, name: str) -> None:
    node = play.node(name)
    node.restart_blocked_until = 0.0
    node.start_daemon(0.0)
