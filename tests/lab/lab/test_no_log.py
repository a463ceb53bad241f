"""A cluster whose daemons cannot write their log, each in another way: it works, and a daemon without a guard ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from hactl.lab.cluster import Lab
from hactl.lab.node import Node
from hactl.lab.spec import PYTHON, SERVICE_VIP, VIP, LabSpec
from hactl.lab.system import wait_until

pytestmark = [pytest.mark.root, pytest.mark.lab]

DEADLINE_S = 30.0
# n1: no room. n2: its reader is gone. n3: nobody reads, and after 64 kB every write would wait without end.
DAEMON = """
case $2 in
n1) exec "$0" -m hactl.daemon --config "$1" 2>/dev/full ;;
n2) exec "$0" -c '
import os, sys
reading, writing = os.pipe()
os.close(reading)
os.dup2(writing, 2)
os.execv(sys.executable, [sys.executable, "-m", "hactl.daemon", "--config", sys.argv[1]])' "$1" ;;
n3) exec "$0" -c '
import os, sys
reading, writing = os.pipe()
os.set_inheritable(reading, True)
os.set_blocking(writing, False)
try:
    while os.write(writing, bytes(4096)): pass
except BlockingIOError: pass
os.set_blocking(writing, True)
os.dup2(writing, 2)
os.execv(sys.executable, [sys.executable, "-m", "hactl.daemon", "--config", sys.argv[1]])' "$1" ;;
esac
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    command = ("sh", "-c", DAEMON, sys.executable, "{node_toml}", "{node}")
    made = Lab(LabSpec(name=f"nolog{os.getpid() % 10000}", daemon=command))
    try:
        made.up()
        yield made
    finally:
        made.down()


def holders(lab: Lab, address: str) -> list[str]:
    return [name for name, node in lab.nodes.items() if f" {address}/" in node.call("ip", "-o", "addr", "show")]


def await_held(lab: Lab, address: str, on: str = "") -> str:
    """Wait until one node has it, and this one; which."""

    def look() -> str:
        owners = holders(lab, address)
        return owners[0] if len(owners) == 1 and on in ("", owners[0]) else ""

    return wait_until(look, deadline_s=DEADLINE_S, goal=f"{address} is on {on or 'one node'}")


def move(lab: Lab, group: str, to: str) -> None:
    node = lab.node(to)
    node.call(*PYTHON, "--config", str(node.home / "node.toml"), "failover", group, "--to", to)


@pytest.mark.parametrize("name", ["n1", "n2", "n3"])
def test_a_daemon_without_its_log_does_all_it_is_for(lab: Lab, name: str) -> None:
    node = lab.node(name)
    await_held(lab, SERVICE_VIP)
    if SERVICE_VIP not in node.call("ip", "-o", "addr", "show"):
        move(lab, "service", name)
    await_held(lab, SERVICE_VIP, on=name)
    await_held(lab, VIP)
    said = node.call(*PYTHON, "--config", str(node.home / "node.toml"), "status")
    assert "its daemon's log cannot be written" in said
    _guard_dies(lab, node)
    _restarts(node)


def _guard_dies(lab: Lab, node: Node) -> None:
    """The daemon ends: else nothing enforces the deadline, and when the daemon hangs two nodes have the address."""
    before = node.daemon_pid()
    node.kill_guard()
    wait_until(lambda: node.daemon_pid() != before, deadline_s=DEADLINE_S, goal=f"the daemon of {node.name} ends")
    await_held(lab, SERVICE_VIP)


def _restarts(node: Node) -> None:
    wait_until(node.daemon_pid, deadline_s=DEADLINE_S, goal=f"a daemon of {node.name}")
    before = node.daemon_pid()
    assert before is not None
    os.kill(before, signal.SIGTERM)
    wait_until(lambda: node.daemon_pid() != before, deadline_s=DEADLINE_S, goal=f"the daemon of {node.name} ends")
