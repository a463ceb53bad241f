"""The log: a writer never waits and gets no exception, whatever has become of the log."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hactl.daemon.log import writer as log_writer
from hactl.daemon.log.writer import LINES, LogWriter
from tests.support.waiting import until

DEADLINE_S = 10.0
PIPE_BYTES = 65_536


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "RETRY_S", 0.01)
    monkeypatch.setattr(log_writer, "STUCK_S", 0.05)


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends; the writing one belongs to the writer."""
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        with suppress(OSError):
            os.close(reading)


def read_lines(descriptor: int, wanted: int) -> list[str]:
    text = b""
    while text.count(b"\n") < wanted:
        text += os.read(descriptor, PIPE_BYTES)
    return text.decode().splitlines()


def test_lines_come_whole_and_in_order() -> None:
    with pipe() as (reading, writing):
        writer = LogWriter(writing)
        for part in ("one\ntw", "o\n", "three\nfour\n"):
            writer.write(part)
        assert read_lines(reading, 4) == ["one", "two", "three", "four"]
        assert writer.lost == 0 and writer.problem == ""


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    writer = LogWriter(os.open("/dev/full", os.O_WRONLY))
    for number in range(3 * LINES):
        writer.write(f"line {number}\n")
    until(lambda: writer.problem == "No space left on device", "the problem is said")
    assert 2 * LINES - 1 <= writer.lost <= 2 * LINES
    writer.finish(0.01)  # and nobody waits for it at the end


def test_a_reader_that_is_gone() -> None:
    with pipe() as (reading, writing):
        writer = LogWriter(writing)
        os.close(reading)
        writer.write("to nobody\n")
        until(lambda: writer.problem == "Broken pipe", "the problem is said")


@pytest.mark.parametrize("blocking", [True, False])
def test_a_pipe_that_nobody_reads_holds_nobody_up_and_what_was_lost_is_said_later(blocking: bool) -> None:
    said: list[tuple[int, str]] = []
    with pipe() as (reading, writing):
        os.set_blocking(writing, blocking)
        writer = LogWriter(writing, lambda lines, reason: said.append((lines, reason)))
        written = 0
        while writer.lost < 10:  # would never end if it waited
            writer.write(f"{written:07} {'x' * 200}\n")
            written += 1
        until(lambda: writer.problem == "nobody reads it", "the problem is said")
        lost = writer.lost
        lines = read_lines(reading, written - lost)
        numbers = [int(line.split()[0]) for line in lines]
        assert numbers == sorted(set(numbers)) and numbers[-1] == written - 1
        assert written - len(numbers) == lost
        until(lambda: bool(said) and writer.problem == "", "it is well again")
        assert said == [(lost, "nobody read it")]


@pytest.mark.root
def test_space_comes_back(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], check=False)
    if mounted.returncode:
        pytest.skip("may not mount")
    try:
        log, filler = tmp_path / "log", tmp_path / "filler"
        writer = LogWriter(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(b"\0" * 1024):
                pass
        lines = [f"{number} {'x' * 500}" for number in range(20)]
        for line in lines:
            writer.write(line + "\n")
        until(lambda: "No space left" in writer.problem, "the disk is full")
        filler.unlink()
        until(lambda: log.read_text().splitlines() == lines, "every line is there, whole")
        assert writer.problem == "" and writer.lost == 0
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


SAY_ALL = """
import sys, logging, warnings, threading
from hactl.daemon.log import setup
writer = setup.configure("json", "info", "n1")
import structlog
log = structlog.get_logger()
log.error("one", value=object(), half="\\udc80")
logging.getLogger("asyncio").error("two")
warnings.warn("three")
print("four")
def fails(): raise OSError("five")
thread = threading.Thread(target=fails); thread.start(); thread.join()
try: raise ValueError("six")
except ValueError: log.exception("seven")
writer.finish(0.2)
open(sys.argv[1], "w").write("alive")
"""


@pytest.mark.parametrize("where", ["/dev/full", "closed", "no reader", "no descriptor"])
def test_nothing_that_is_said_fails_its_sayer(tmp_path: Path, where: str) -> None:
    alive = tmp_path / "alive"
    command = [sys.executable, "-c", SAY_ALL, str(alive)]
    if where == "no descriptor":
        done = subprocess.run(["sh", "-c", 'exec "$@" 2>&- >&- <&-', "sh", *command], check=False, timeout=60)
    else:
        target = os.open("/dev/full", os.O_WRONLY)
        if where != "/dev/full":
            os.close(target)
            reading, target = os.pipe()
            os.close(reading)
        done = subprocess.run(command, stdout=target, stderr=target, check=False, timeout=60)
        os.close(target)
    assert (done.returncode, alive.read_text()) == (0, "alive")


def test_all_that_is_said_is_in_the_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SAY_ALL, str(tmp_path / "alive")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert [word for word in ("one", "two", "three", "four", "five", "six", "seven") if word not in done.stderr] == []


SAY_HOSTILE = """
import logging, sys
from hactl.daemon.log import setup
writer = setup.configure(sys.argv[1], "info", "n1")
import structlog
hostile = "x\\x1b]0;y\\x07\\n2026-01-01 [info] forged\\u202e\\x9b2J"
log = structlog.get_logger()
log.error("said", reason=hostile, deep={"a": [hostile]})
logging.getLogger("asyncio").error("of a library: %s", hostile.replace("\\n", " "))
try: raise ValueError(hostile.replace("\\n", " "))
except ValueError: log.exception("raised")
writer.finish(2.0)
"""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_text_of_others_makes_no_line_and_no_terminal_command(log_format: str) -> None:
    done = subprocess.run([sys.executable, "-c", SAY_HOSTILE, log_format], check=True, capture_output=True, timeout=60)
    said = done.stderr.decode()
    assert not [
        char for char in said if char != "\n" and (ord(char) < 32 or 127 <= ord(char) < 160 or char == "\u202e")
    ]
    assert not [line for line in said.split("\n") if line.startswith("2026-01-01 [info] forged")]
    assert "forged" in said and "of a library" in said and "raised" in said
