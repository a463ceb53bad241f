"""Files in state_dir and run_dir, after a crash, a full disk, a hand, another version: read, or as good as none."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import msgspec

from fencing.guard.client import read_stop_record
from fencing.guard.log import RECORD_NAME
from hactl.config.document import document as stored_document
from hactl.daemon.main import log
from hactl.daemon.parts import last_known
from hactl.daemon.parts.config_reader import ConfigReader, digest_in_use
from hactl.daemon.parts.state_files import KnownStore, StateFiles
from hactl.decide import node
from hactl.linux.process_identity import read_record
from hactl.model.events import Boot, GuardFacts
from hactl.model.options import plain
from hactl.status import document
from tests.fuzz.fuzzing import as_json, fuzzed, mutated, raw
from tests.support.scene import KEYS, spec

KNOWN = msgspec.to_builtins(KnownStore("uuid", 1, 500, "sid", 40))
STOPPED = {"sid": "s", "reason": "why", "at": 1.5, "names": ["g/r"], "outcome": "stopped", "problems": {"g/r": "no"}}


def _text(rng: random.Random, value: object) -> bytes:
    text = as_json(rng, value).encode("utf-8", "surrogatepass")
    return raw(rng, text) if rng.random() < 0.2 else text


@fuzzed(200)
def test_state_files_of_the_daemon(rng: random.Random, tmp_path_factory: object) -> None:
    place = _place(tmp_path_factory)
    disk, group = StateFiles(str(place), "boot"), plain(spec().groups[1])
    (place / "identity.json").write_bytes(_text(rng, KNOWN))
    (place / "started" / "database.json").write_bytes(_text(rng, group))
    known, leftovers = disk.known(), disk.leftovers()
    assert isinstance(known.generation, int) and isinstance(known.revision, int)
    facts = GuardFacts("s", None, False, ("database/mariadb",), 1)
    state = node.new_state(
        KEYS,
        Boot(
            "n1",
            "m",
            "b",
            "nonce",
            facts,
            known.identity,
            known.revision,
            known.session_id,
            leftovers,
            known.session_revision,
        ),
    )
    state.cluster = spec()
    disk.keep_known(KnownStore("uuid", 2, 501, "sid", 41))
    assert disk.known().generation == 2


@fuzzed(100)
def test_the_configuration_that_was_used_last(rng: random.Random, tmp_path_factory: object) -> None:
    place = _place(tmp_path_factory)
    text = json.dumps({"serial": 1, "document": json.loads(stored_document(spec()))})
    kept = {"of": "0.1.0 abc", "spec": {"name": "demo"}, "text": 5, "serial": 1, "generation": 1, "signed": False}
    (place / "config.json").write_bytes(_text(rng, kept))
    reader = ConfigReader(str(place), "demo", str(place / "none"))
    asyncio.run(reader.known(text, 1))
    digest_in_use(str(place))
    if rng.random() < 0.05:
        asyncio.run(reader.last())


@fuzzed(200)
def test_the_record_of_a_deadline(rng: random.Random, tmp_path_factory: object) -> None:
    place = _place(tmp_path_factory)
    (place / RECORD_NAME).write_bytes(_text(rng, {**STOPPED, "event": "x"}))
    if (record := read_stop_record(str(place))) is not None:
        log.debug("guard_stopped_everything", **record)


@fuzzed(100)
def test_the_record_of_a_process(rng: random.Random, tmp_path_factory: object) -> None:
    place = _place(tmp_path_factory)
    line = mutated(rng, f"boot {Path('/proc/self/stat').read_text()}").encode("utf-8", "replace")
    (place / "record").write_bytes(raw(rng, line))
    read_record(str(place / "record"))


@fuzzed(200)
def test_the_last_known_state_of_the_cluster(rng: random.Random, tmp_path_factory: object) -> None:
    place = _place(tmp_path_factory)
    kvs = [[KEYS.node("n1"), "{}", 3, 4], [KEYS.standby("n2"), "root", 5, 5]]
    kept = {"prefix": KEYS.prefix, "revision": 7, "items": kvs}
    (place / "last-known.json").write_bytes(_text(rng, kept))
    if (last := last_known.read(str(place), KEYS)) is not None:
        as_json(rng, document.status(last[0], None, stale_ms=round(last[1] * 1000)))


def _place(factory: object) -> Path:
    base: Path = factory.getbasetemp() / "fuzz"  # type: ignore[attr-defined]
    base.mkdir(exist_ok=True)
    return base
