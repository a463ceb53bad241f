"""The network and etcd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from election.store import Delete, Put, Txn
from tests.transcripts.commands.command import command
from tests.transcripts.world import NEVER

if TYPE_CHECKING:
    from tests.transcripts.play import Play


@command(r"cut (?P<name>\S+) off the network")
def _cut(play: Play, name: str) -> None:
    play.node(name).cuts = {"requests": NEVER, "answers": NEVER}


@command(r"answers to (?P<name>\S+) are lost")
def _answers_lost(play: Play, name: str) -> None:
    play.node(name).cuts = {"answers": NEVER}


@command(r"requests of (?P<name>\S+) are lost")
def _requests_lost(play: Play, name: str) -> None:
    play.node(name).cuts = {"requests": NEVER}


@command(r"the network of (?P<name>\S+) is back")
def _network_back(play: Play, name: str) -> None:
    play.node(name).cuts = {}


@command(r"the watch of (?P<name>\S+) goes deaf")
def _deaf(play: Play, name: str) -> None:
    play.node(name).watch.dead = True


@command(r"etcd goes away")
def _away(play: Play) -> None:
    play.world.away_until = NEVER
    play.world.outages.append((play.world.now, NEVER))


@command(r"etcd is back")
def _back(play: Play) -> None:
    play.world.away_until = play.world.now
    play.world.outages[-1] = (play.world.outages[-1][0], play.world.now)


@command(r"etcd is full")
def _full(play: Play) -> None:
    play.world.full_until = NEVER


@command(r"etcd has room again")
def _room(play: Play) -> None:
    play.world.full_until = 0.0


@command(r"back up etcd")
def _backup(play: Play) -> None:
    play.world.saved = play.world.ledger.copy()


@command(r"restore etcd from the backup")
def _restore(play: Play) -> None:
    play.world.checks.history_broken = True
    play.world.ledger.restore(play.world.saved)


@command(r"wipe etcd")
def _wipe(play: Play) -> None:
    play.world.checks.history_broken = True
    play.world.ledger.wipe()


@command(r"etcdctl put (?P<key>\S+) (?P<text>.+)")
def _put(play: Play, key: str, text: str) -> None:
    world = play.world
    before = world.ledger.get(world.keys.prefix + key)
    revision = world.commit(Txn((), (Put(world.keys.prefix + key, text),))).revision
    world.malformed.setdefault(world.keys.prefix + key, (revision, before))


@command(r"etcdctl del (?P<key>\S+)")
def _del(play: Play, key: str) -> None:
    play.world.commit(Txn((), (Delete(play.world.keys.prefix + key),)))
    play.world.malformed.pop(play.world.keys.prefix + key, None)


@command(r"put back what was in (?P<key>\S+)")
def _put_back(play: Play, key: str) -> None:
    _, before = play.world.malformed.pop(play.world.keys.prefix + key)
    assert before is not None
    play.world.commit(Txn((), (Put(before.key, before.value),)))
