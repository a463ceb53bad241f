"""The lab's active/passive service: at no time may two nodes run it. It leaves a trace by which that is judged.

`python -m hactl.lab.service --listen ADDRESS:PORT --trace DIRECTORY` in the foreground. It answers HTTP with
its node and epoch, and writes a line with the time (CLOCK_BOOTTIME, ms) when it starts, every few
milliseconds while it lives, and when it is asked to stop. It never stops for want of the address.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from pathlib import Path

from hactl.lab.responder import serve
from hactl.lab.system import boottime_ms


class Trace:
    """A file of its own for every run, appended to by single writes, which stay after SIGKILL."""

    def __init__(self, directory: Path, node: str, epoch: str) -> None:
        began = boottime_ms()
        name = f"{node}-{began:.0f}-{os.getpid()}.trace"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(directory / name, flags, 0o644)
        self.write("start", f"node={node} epoch={epoch} pid={os.getpid()}", at=began)

    def write(self, event: str, more: str = "", at: float | None = None) -> None:
        """One line: time, event, and further facts."""
        stamp = boottime_ms() if at is None else at
        os.write(self._descriptor, f"{stamp:.3f} {event} {more}".rstrip().encode() + b"\n")


async def run(listen: str, directory: Path, interval_ms: float) -> None:
    """Until SIGTERM."""
    node, epoch = os.environ.get("HACTL_NODE", "?"), os.environ.get("HACTL_EPOCH", "0")
    trace = Trace(directory, node, epoch)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    address, _, port = listen.rpartition(":")
    async with await serve(address.strip("[]"), int(port), {"node": node, "epoch": epoch}):
        while not stop.is_set():
            trace.write("alive")
            await asyncio.sleep(interval_ms / 1000)
    trace.write("stop")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="the lab's active/passive service")
    parser.add_argument("--listen", required=True, help="ADDRESS:PORT")
    parser.add_argument("--trace", type=Path, required=True, help="directory for the trace")
    parser.add_argument("--interval-ms", type=float, default=5.0)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.listen, arguments.trace, arguments.interval_ms))


if __name__ == "__main__":
    main()
