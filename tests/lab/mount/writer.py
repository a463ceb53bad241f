"""A program that writes to a disk and says what it has synced: `python writer.py DIRECTORY ACKNOWLEDGED`.

Into `DIRECTORY/journal` it appends one number after the other, and syncs each. Only then it appends the number to a
file of its own below ACKNOWLEDGED, which stands for the client: no number in there may ever be missing from the
journal. It goes on with the number after the last one in the journal.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

PAUSE_S = 0.005


def numbers(journal: Path) -> list[int]:
    """Those in the journal; a last line that was not finished is none."""
    try:
        lines = journal.read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []
    return [int(line) for line in lines]


def acknowledged(directory: Path) -> list[int]:
    """Every number that any writer has said to be synced."""
    return sorted(number for file in directory.glob("*.ack") for number in numbers(file))


def _append(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def main() -> None:
    """Until it is killed, or cannot write."""
    directory, acks = Path(sys.argv[1]), Path(sys.argv[2])
    path = directory / "journal"
    written = numbers(path)
    number = max(written, default=0)
    # A line that was not finished is cut off.
    journal = _append(path)
    os.truncate(journal, sum(len(f"{one}\n") for one in written))
    os.fsync(journal)
    parent = os.open(directory, os.O_RDONLY)
    os.fsync(parent)
    os.close(parent)
    run = _append(acks / f"{os.environ.get('HACTL_NODE', '?')}-{time.monotonic_ns()}.ack")
    while True:
        number += 1
        os.write(journal, f"{number}\n".encode())
        os.fsync(journal)
        os.write(run, f"{number}\n".encode())
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
