"""The remote power switch (PDU) that the machines are plugged into: a station of the network, asked by `fence_lab`.

Over TCP, one line a connection: PASSWORD ACTION NODE. It records what it was told to do: so a test knows which machine
was fenced, whatever the machines say.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from hactl.lab import netns
from hactl.lab.spec import SWITCH_PORT, LabSpec
from hactl.lab.system import boottime_ms
from tests.machines.machine import Machine

PASSWORD = "only-for-tests"


class Order(NamedTuple):
    """What the switch was told to do. `at_ms`: CLOCK_BOOTTIME."""

    at_ms: float
    action: str
    node: str


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        words = (*self.rfile.readline().decode(errors="replace").split(), "", "", "")
        self.server.answer(*words[:3], lambda *lines: self.wfile.write("".join(f"{x}\n" for x in lines).encode()))


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
    answer: Callable[[str, str, str, Callable[..., object]], None]


class PowerSwitch:
    """Answers from when it is made until `close`."""

    def __init__(self, spec: LabSpec, machines: Mapping[str, Machine]) -> None:
        self.orders: list[Order] = []
        self._machines = machines
        place = (spec.switch.address, SWITCH_PORT)
        self._server = netns.inside(spec.namespace(spec.switch.name), lambda: _Server(place, _Handler))
        self._server.answer = self._answer
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def fenced(self) -> list[str]:
        """The machines that it was told to switch off, in that order."""
        return [order.node for order in self.orders if order.action == "off"]

    def _answer(self, password: str, action: str, node: str, say: Callable[..., object]) -> None:
        machine = self._machines.get(node)
        if password != PASSWORD:
            say("wrong password")
        elif action == "list":
            say("ok", *self._machines)
        elif machine is None or action not in ("on", "off", "status"):
            say(f"no such node or action: {node} {action}")
        elif action == "status":
            say("ok", "on" if machine.is_on else "off")
        else:
            self.orders.append(Order(boottime_ms(), action, node))
            if action == "off":
                machine.cut(done=lambda: say("ok"))
            else:
                machine.power_on()
                say("ok")
