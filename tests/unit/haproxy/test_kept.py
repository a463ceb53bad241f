"""What is kept for the start after a reboot: nobody is a writer, and what was drained stays drained."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from hactl.config.load import parse_cluster
from hactl.haproxy.control import kept_file
from hactl.haproxy.routing import Routing
from hactl.haproxy.settings import HaproxyError
from hactl.haproxy.wanted import Wanted

_SPEC = """
cluster: kept
nodes: [{name: n1, address: 10.0.0.1}, {name: n2, address: 10.0.0.2}]
"""


def test_what_is_kept_has_no_writer_and_the_same_drains() -> None:
    now = Routing(frozenset({"n1"}), frozenset({("api", "n2")}), {"db": "n1"})
    wanted = Wanted(parse_cluster(_SPEC), now, 7)
    kept = wanted.without_writers.routing
    assert (kept.live, kept.drained, kept.owners) == ({"n1", "n2"}, {("api", "n2")}, None)


def test_it_is_kept_again_when_a_drain_begins_or_ends_and_not_when_a_node_comes() -> None:
    wanted = Wanted(parse_cluster(_SPEC), Routing(frozenset({"n1"})), 7)
    another_node = replace(wanted, routing=Routing(frozenset({"n1", "n2"})))
    drained = replace(wanted, routing=Routing(frozenset({"n1"}), frozenset({("api", "n2")})))
    assert another_node.is_kept_as(wanted)
    assert not drained.is_kept_as(wanted) and not wanted.is_kept_as(drained)


def test_a_disk_that_hangs_holds_up_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is kept later, or not at all: HAProxy is changed all the same."""
    goes_on = threading.Event()
    monkeypatch.setattr(kept_file, "DISK_S", 0.01)
    monkeypatch.setattr(kept_file, "read_text", lambda _: goes_on.wait(10.0))
    kept = kept_file.KeptFile(str(tmp_path / "kept"), "/run/stats.sock")

    async def main() -> None:
        with pytest.raises(HaproxyError, match="has not answered"):
            await kept.keep("text", manage_sysctl=False)
        with pytest.raises(HaproxyError, match="has not answered"):
            await kept.read()
        with pytest.raises(HaproxyError, match="has not answered"):
            await kept.forget()

    try:
        asyncio.run(main())
    finally:
        goes_on.set()
