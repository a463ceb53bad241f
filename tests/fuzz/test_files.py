"""Files that people write: whatever is in them, they are read, or refused with the place and a hint."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

from hactl.config.document import document, parse_document
from hactl.config.errors import ConfigErrors
from hactl.config.load import check_text
from hactl.config.node import parse_node
from hactl.importers.haproxy.imported import import_text
from tests.fuzz.fuzzing import fuzzed, mutated

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "deploy" / "examples").glob("*.yaml"))
IMPORTED = sorted((ROOT / "tests" / "golden" / "importers").glob("*.cfg"))
NODE = """\
cluster = "demo"
node = "n1"
endpoints = ["http://127.0.0.1:2379"]
state_dir = "/var/lib/hactl"
self_fence = ["systemctl", "reboot", "--force"]
log_level = "info"
"""


def shown(error: ConfigErrors) -> None:
    """The messages can be written to any terminal."""
    str(error).encode()
    assert "\x1b" not in str(error) and "\x00" not in str(error)


@fuzzed(60)
def test_cluster_yaml(rng: random.Random) -> None:
    text = mutated(rng, rng.choice(EXAMPLES).read_text(encoding="utf-8"))
    try:
        spec = check_text(text, "cluster.yaml").spec
    except ConfigErrors as error:
        shown(error)
    else:
        assert parse_document(document(spec)) == spec


@fuzzed(300)
def test_node_toml(rng: random.Random) -> None:
    try:
        parse_node(mutated(rng, NODE))
    except ConfigErrors as error:
        shown(error)


@fuzzed(60)
def test_haproxy_cfg(rng: random.Random) -> None:
    text = mutated(rng, rng.choice(IMPORTED).read_text(encoding="utf-8"))
    with contextlib.suppress(ConfigErrors):
        import_text(text, "haproxy.cfg")
