"""Whatever is in etcd, nothing raises: the view learns it, the step decides, and the status, the metrics and the screen
are made of it. `make fuzz` puts 100,000 malformed documents."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from typing import Any

from election.clock import Instant
from election.records import Drain, Failure, FenceRecord, FenceTest, Holder, Identity, Move, Ownership
from election.store import Change, KeyValue, Snapshot, WatchBatch
from election.view import View
from hactl.cli import status_view
from hactl.cli.output import Style
from hactl.daemon.metrics import Metrics
from hactl.daemon.parts.ledger import Ledger
from hactl.decide import node
from hactl.decide.routing import drained, owners
from hactl.decide.state import NodeState
from hactl.model import effects, events
from hactl.status import document as status
from hactl.status.local import local_facts
from tests.support import malformed
from tests.support.examples import examples
from tests.support.scene import KEYS, Scene, fenced
from tests.support.stand_in import node_state

DOCUMENTS = int(os.environ.get("FUZZ_DOCUMENTS") or examples(2_000))
BATCH = 20
DEVICE = "{name: switch, agent: fence_virsh, options: {ip: 10.0.0.1, username: a}}"


def _base(scene: Scene) -> dict[str, str]:
    """A document of every kind."""
    scene.join("n1", "n2", "n3")
    values = {kv.key: kv.value for kv in scene.store.snapshot(KEYS.prefix, timeout_s=5).items}
    revision = scene.store.snapshot(KEYS.prefix, timeout_s=5).revision
    own = Ownership("n1", "s-n1", 5, 900, "owned", (Holder("n3", "s-n3", 4),), True, "first owner")
    fence = FenceRecord("old", 3, 3, 3750, "machine-n3", "boot-n3", "pending", executor="n2/s-n2", generation=0)
    more = {
        KEYS.group("vip"): own,
        KEYS.group("database"): replace(own, node="n2", session_id="s-n2", holders=(), overlap=False),
        KEYS.fence("n3"): fence, KEYS.fence("n1"): replace(fence, state="acting", action_ms=5000, attempts=2),
        KEYS.failure("vip", "n3"): Failure(3, "address", "failed"), KEYS.move("vip"): Move("id", "n2", "n1", 5, "root"),
        KEYS.drain("api", "n1"): Drain("root", "at", "why"), KEYS.fence_test: FenceTest("id", "root", "at"),
        KEYS.identity: Identity("u", 1),
    }  # fmt: skip
    values.update({key: record.to_json() for key, record in more.items()})
    return {**values, KEYS.standby("n3"): "root", KEYS.maintenance("vip"): "root", KEYS.probe("vip"): str(revision)}


def _live(scene: Scene, base: dict[str, str]) -> NodeState:
    state = node_state(scene.spec, "n2")
    state.identity = ("u", 1)
    state.phase = state.session.state = "live"
    state.session.session_id, state.session.session_revision, state.session.mod_revision = "s-n2", 5, 5
    state.session.valid_until, state.guard_ready, state.config_seen = Instant(1e12, 1e12), True, 5
    state.own_session_ids.add("s-n2")
    return state


class _Daemon:
    """Takes events as a daemon does, and makes every output of its state."""

    def __init__(self, scene: Scene, base: dict[str, str]) -> None:
        self.scene, self.state = scene, _live(scene, base)
        self.metrics, self.ledger = Metrics(), Ledger("n2")
        self.ms = 1000.0

    def step(self, event: events.Event) -> None:
        """One step; its messages are lost, its actions fail."""
        self.ms += 200.0
        waiting: list[Any] = [event]
        for _ in range(30):
            if not waiting:
                return
            for effect in node.step(self.state, waiting.pop(), Instant(self.ms, self.ms)).effects:
                if isinstance(effect, effects.SendTxn):
                    waiting.append(events.TxnDone(effect.id, None, False, "lost"))
                elif isinstance(effect, effects.Act):
                    waiting.append(events.Acted(effect.id, False, "stopped", "fuzz"))
                elif isinstance(effect, effects.Note):
                    json.dumps(effect.data, default=str, allow_nan=False).encode()

    def look(self) -> None:
        """Everything that reads the state."""
        state, now = self.state, Instant(self.ms, self.ms)
        view, spec = state.view, state.cluster
        assert spec is not None
        self.ledger.look(state, now)
        local = local_facts(state, now)
        document = status.status(view, spec, "n2", local=local, observer=state.observer, now=now)
        json.dumps(document, allow_nan=False).encode()
        status_view.render(document, Style(False, 100)).encode()
        json.dumps(status.status(view, spec), allow_nan=False).encode()
        view.mark()
        again = View(KEYS)
        again.load(view.snapshot())
        assert _plain(again) == _plain(view)
        self.metrics.collect(state, now)
        self.metrics.text()
        drained(view, spec.services)
        owners(view, [group.name for group in spec.groups])


def _plain(view: View) -> list[tuple[Any, ...]]:
    """Its documents, whatever the order of the fields of a later version."""
    return [(key, sorted(value), create, mod) for key, value, create, mod in view.snapshot().items]


def _put(rng: random.Random, keys: list[str], base: dict[str, str], revision: int) -> Change:
    key = rng.choice(keys)
    text = base.get(key) or base[rng.choice(list(base))]
    match rng.randrange(8):
        case 0:
            return Change(True, KeyValue(key, "", 0, revision))
        case 1:
            text = malformed.later(rng, text)
        case 2:
            text = base.get(key, "x")
        case _:
            text = malformed.spoiled(rng, text)
    return Change(False, KeyValue(key, text, rng.choice([5, revision]), revision))


def test_nothing_in_etcd_raises_anything() -> None:
    scene = Scene(cluster=fenced(DEVICE))
    base = _base(scene)
    keys = [*base] * 6 + malformed.keys_of(KEYS, ["n1", "n2", "n3"], ["vip", "database"]) + malformed.misnamed(KEYS)
    revision = 100
    for number in range(DOCUMENTS // BATCH):
        rng = random.Random(number)
        if number % 20 == 0:
            daemon = _Daemon(scene, base)
            kvs = tuple(KeyValue(key, text, 5, 5) for key, text in base.items())
            daemon.state.listing = 1
            daemon.step(events.Listed(1, Snapshot(revision, kvs)))
        changes = []
        for _ in range(BATCH):
            revision += 1
            changes.append(_put(rng, keys, base, revision))
        daemon.step(events.Watched(WatchBatch(revision, tuple(changes))))
        daemon.step(events.Tick())
        daemon.look()
        if rng.random() < 0.2 and daemon.state.phase != "live":
            daemon.state = _live(scene, base)
