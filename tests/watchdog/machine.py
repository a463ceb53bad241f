"""A virtual machine under qemu: its messages, and when and why it ended. Needs no root and no KVM."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from image import Image

MEMORY_MIB = 256


@dataclass
class Run:
    """The outcome. `reset`: it was reset, else it switched itself off; `watchdog`: qemu's own watchdog did it. Times in
    ms, by the guest's boot clock."""

    reset: bool = False
    watchdog: bool = False
    ended: float = 0.0
    said: list[dict[str, Any]] = field(default_factory=list)
    log: str = ""

    def event(self, name: str) -> dict[str, Any]:
        """The one event of this name."""
        matching = [event for event in self.said if event["event"] == name]
        failures = [event for event in self.said if event["event"] == "failed"]
        assert len(matching) == 1, f"{name}: {matching}; {failures}\n{self.log}"
        return matching[0]

    @property
    def after_valid_until(self) -> float:
        """When it ended, from the end of the lease; negative: before it."""
        return float(self.ended - self.event("done")["until"])


def run(image: Image, directory: Path, plan: dict[str, Any], within_s: float = 180.0) -> Run:
    """Boot, play the plan, wait for the end."""
    paths = {name: directory / name for name in ("qmp", "said")}
    servers = {name: _listen(path) for name, path in paths.items()}
    log = directory / "console"
    argv = [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "q35", "-accel", os.environ.get("HACTL_QEMU_ACCEL", "tcg"), "-cpu", "max",
        "-m", str(MEMORY_MIB), "-smp", "1",
        "-kernel", str(image.kernel), "-initrd", str(image.initrd),
        "-append", f"console=ttyS0 loglevel=4 panic=-1 hactl.plan={json.dumps(plan).encode().hex()}",
        "-serial", f"file:{log}", "-serial", f"unix:{paths['said']}", "-qmp", f"unix:{paths['qmp']}",
        "-device", "i6300esb", "-action", "watchdog=reset",
    ]  # fmt: skip
    result = Run()
    with contextlib.ExitStack() as stack:
        for server in servers.values():
            stack.enter_context(server)
        process = stack.enter_context(subprocess.Popen(argv, stdin=subprocess.DEVNULL))
        stack.callback(process.kill)
        peers = {name: stack.enter_context(server.accept()[0]) for name, server in servers.items()}
        peers["qmp"].sendall(b'{"execute": "qmp_capabilities"}\n')
        _follow(peers, result, time.monotonic() + within_s)
        assert process.wait(30) == 0
    result.log = log.read_text(errors="replace")
    return result


def _listen(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(1)
    server.settimeout(30)
    return server


def _follow(peers: dict[str, socket.socket], result: Run, until: float) -> None:
    """Read both until the machine is gone. Its clock is known by the line that came with the least delay."""
    ahead, ended = float("inf"), 0.0
    pending = dict.fromkeys(peers, b"")
    with selectors.DefaultSelector() as selector:
        for name, peer in peers.items():
            selector.register(peer, selectors.EVENT_READ, name)
        while selector.get_map():
            assert time.monotonic() < until, f"the machine goes on: {result.said[-3:]}"
            for key, _ in selector.select(1.0):
                part = peers[key.data].recv(1 << 16)
                at = time.time() * 1000
                if not part:
                    selector.unregister(key.fileobj)
                *lines, pending[key.data] = (pending[key.data] + part).split(b"\n")
                for line in lines:
                    message = json.loads(line)
                    if key.data == "qmp":
                        ended = _heard(message, result) or ended
                    else:
                        ahead = min(ahead, at - message["boot"])
                        if message["event"] != "tick":
                            result.said.append(message)
    result.ended = ended - ahead


def _heard(message: dict[str, Any], result: Run) -> float:
    """An event of qemu's; the time of the end, by the wall clock, if it is that."""
    if message.get("event") == "WATCHDOG":
        result.watchdog = True
    elif message.get("event") == "SHUTDOWN":
        result.reset = message["data"]["reason"] == "guest-reset"
        stamp = message["timestamp"]
        return float(stamp["seconds"] * 1000 + stamp["microseconds"] / 1000)
    return 0.0
