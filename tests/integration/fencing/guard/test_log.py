"""The guard's log: each line in its file and in the machine's journal, neither of which may hold the other up."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fencing.guard.log import Journal

LINES = 500


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[socket.socket]:
    """What journald listens at."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(tmp_path / "journal"))
        link.settimeout(10)
        yield link


def events(log: Path) -> list[str]:
    return [json.loads(line)["event"] for line in log.read_text().splitlines()]


def test_a_line_is_in_the_file_and_in_the_journal(tmp_path: Path, journald: socket.socket) -> None:
    journal = Journal(str(tmp_path / "log"), None, str(tmp_path / "journal"))
    journal.event("listening", port=9665)
    journal.event("self_fence", reason="two\nlines")
    journal.flush(10)
    assert events(tmp_path / "log") == ["listening", "self_fence"]
    first, second = (dict(line.split("=", 1) for line in journald.recv(4096).decode().splitlines()) for _ in range(2))
    assert json.loads(first["MESSAGE"])["port"] == 9665
    assert json.loads(second["MESSAGE"])["reason"] == "two\nlines"
    # The second is on the disk before the machine is reset.
    assert (first["PRIORITY"], second["PRIORITY"]) == ("6", "2")
    assert first["SYSLOG_IDENTIFIER"] == "hactl-guard"
    assert first["OBJECT_SYSTEMD_UNIT"] == "hactl.service"


@pytest.mark.parametrize("state", ["hangs", "away"])
def test_a_journal_that_does_not_read_holds_up_nothing(tmp_path: Path, journald: socket.socket, state: str) -> None:
    if state == "away":
        journald.close()
    journal = Journal(str(tmp_path / "log"), None, str(tmp_path / "journal"))
    for _ in range(LINES):
        journal.event("watchdog", device="/dev/watchdog")
    journal.flush(10)
    assert len(events(tmp_path / "log")) == LINES
    assert journal.lost == 0


def test_a_file_that_cannot_be_written_leaves_the_journal(tmp_path: Path, journald: socket.socket) -> None:
    journal = Journal(str(tmp_path / "no-such-directory" / "log"), None, str(tmp_path / "journal"))
    journal.event("deadline")
    journal.flush(10)
    assert b'"event": "deadline"' in journald.recv(4096)
    assert journal.lost == 1
