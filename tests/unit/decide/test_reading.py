"""Only the step changes the state: what merely reads gets types through which nothing can be written."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from election.reading import ReadObserver, ReadSession, ReadView
from hactl.decide.reading import ReadGroup, ReadState
from hactl.decide.state import NodeState

ROOT = Path(__file__).parents[3]


def test_only_the_loop_gets_a_state_that_can_be_written() -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in ROOT.glob("hactl/**/*.py")
        if "decide" not in path.parts and re.search(r"\bNodeState\b", path.read_text(encoding="utf-8"))
    }
    assert users == {"hactl/daemon/loop.py"}


def test_a_read_only_field_cannot_be_assigned() -> None:
    for protocol in (ReadView, ReadSession, ReadObserver, ReadGroup, ReadState):
        names = [name for name in vars(protocol) if not name.startswith("_")]
        assert len(names) > 2
        assert protocol.__annotations__ == {}, "a plain attribute of a protocol could be assigned"


def test_a_reader_may_read_every_field_of_the_state() -> None:
    known = {field.name for field in fields(NodeState)} | set(vars(NodeState))
    assert {name for name in vars(ReadState) if not name.startswith("_")} <= known
