"""The lab's power switch: `python -m hactl.lab.switch NAME`, a station of its own beside the nodes.

It is asked by `fence_lab`, over TCP, one line a connection: PASSWORD ACTION NODE. The answer is `ok` or a complaint,
and further lines. Each port is a switch (LabSpec.units). An `off` is answered when nothing of the node acts any more,
before the dead node has been cleared away. It can be told to be out of order (`Faults`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

from hactl.lab import files
from hactl.lab.node import Node
from hactl.lab.power import Power
from hactl.lab.spec import LabSpec, load, stage
from hactl.lab.system import LabError

# `hang`: it does nothing and never answers. `fail`: it does nothing, and says so. `lie`: it does nothing and says
# that it did (`status` tells the truth). `slow`: it acts after SLOW_S, unless the client has gone.
Fault = Literal["hang", "fail", "lie", "slow"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
SLOW_S = 1.5


class Faults:
    """The faults, by switch, in a file: every process can set them, and the switch reads it."""

    def __init__(self, spec: LabSpec) -> None:
        self._file, self._units = spec.path / "switch-faults.json", spec.units

    def set(self, unit: str, fault: Fault | None) -> None:
        """Have this switch be out of order, for all nodes, or in order again."""
        if unit not in self._units or fault not in (None, *FAULTS):
            raise LabError(f"{unit!r} {fault!r}: one of {', '.join(self._units)}, and of {', '.join(FAULTS)}")
        now = {name: value for name, value in self.read().items() if name != unit}
        stage(self._file, json.dumps(now if fault is None else {**now, unit: fault}))

    def clear(self) -> None:
        """All are in order."""
        self._file.unlink(missing_ok=True)

    def read(self) -> dict[str, Fault]:
        """The faults now."""
        try:
            return dict(json.loads(self._file.read_text()))
        except FileNotFoundError:
            return {}


class Switch:
    """One of the switches."""

    def __init__(self, spec: LabSpec, unit: str) -> None:
        self._powers = {station.name: Power(spec, Node(spec, station)) for station in spec.stations}
        self._faults, self._unit = Faults(spec), unit
        self._password = files.switch_password(spec).read_text().strip()
        self._working: set[asyncio.Future[float | None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(OSError, ValueError):
            words = (await reader.readline()).decode().split()
            lines = await self._answer(words, reader) if words else []
            writer.write("".join(f"{line}\n" for line in lines).encode())
            await writer.drain()
        writer.close()

    async def _answer(self, words: list[str], reader: asyncio.StreamReader) -> list[str]:
        password, action, node = (*words, "", "")[:3]
        if not hmac.compare_digest(password, self._password):
            return ["wrong password"]
        fault = self._faults.read().get(self._unit)
        if fault == "hang":
            await reader.read()  # until the client has gone
            return []
        if action == "list":
            return ["ok", *self._powers]
        power = self._powers.get(node)
        if power is None or action not in ("on", "off", "status"):
            return [f"no such node or action: {node} {action}"]
        if fault == "fail":
            return ["the relay is stuck"]
        if fault == "slow":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(), SLOW_S)
                return []
        if action == "status":
            return ["ok", "on" if power.is_on(self._unit) else "off"]
        try:
            if fault != "lie":
                await self._switch(power, action)
        except (LabError, OSError) as error:
            return [str(error)]
        return ["ok"]

    async def _switch(self, power: Power, action: str) -> None:
        """Returns when it is switched; the clearing away, or the boot, goes on."""
        loop = asyncio.get_running_loop()
        switched = asyncio.Event()

        def done(_: float = 0.0) -> None:
            loop.call_soon_threadsafe(switched.set)

        todo: Callable[[], float | None] = partial(power.cut if action == "off" else power.give, self._unit, done)
        work = loop.run_in_executor(None, todo)
        self._working.add(work)
        work.add_done_callback(self._finished)
        waiting = asyncio.ensure_future(switched.wait())
        await asyncio.wait((work, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not switched.is_set():
            work.result()

    def _finished(self, work: asyncio.Future[float | None]) -> None:
        self._working.discard(work)
        if error := work.exception():
            sys.stderr.write(f"switch {self._unit}: {type(error).__name__}: {error}\n")
            sys.stderr.flush()


async def _main(spec: LabSpec) -> None:
    for unit, port in spec.units.items():
        await asyncio.start_server(Switch(spec, unit).serve, spec.switch.address, port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(load(sys.argv[1])))
