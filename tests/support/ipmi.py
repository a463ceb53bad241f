"""OpenIPMI's simulator of a management controller (`ipmi_sim`), spoken to over the network by IPMI 2.0."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import free_udp_port

PASSWORD = "pass:word=1"
_LAN = """\
name "{name}"
set_working_mc 0x20
  startlan 1
    addr {address} {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "{chassis}"
  user 2 true "admin" "{password}" admin 10 none md2 md5 straight
"""
_CONTROLLER = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
mc_enable 0x20
"""
# Called to `get power`, which answers `power:1` or `power:0`, and to `set power 0`.
_FILE_CHASSIS = """\
#!/bin/sh
case $1 in get) echo "power:$(cat {power})" ;; set) echo "$3" >{power} ;; esac
"""


class IpmiSim:
    """A controller at address:port, below `place`. `chassis`: the script that switches and reads the power; without
    one, a file holds the power, `on` at first. `inside`: the words that make the command line run elsewhere."""

    def __init__(
        self,
        place: Path,
        address: str = "127.0.0.1",
        port: int = 0,
        chassis: str = "",
        inside: Callable[[Sequence[str]], list[str]] = list,
    ) -> None:
        self._place, self._inside = place, inside
        self.address, self.port = address, port or free_udp_port()
        self._power = place / "power"
        self._power.write_text("1\n")
        script = place / "chassis"
        script.write_text(chassis or _FILE_CHASSIS.format(power=self._power))
        script.chmod(0o755)
        (place / "state").mkdir()
        (place / "controller").write_text(_CONTROLLER)
        values = {"address": address, "port": self.port, "chassis": script, "password": PASSWORD}
        (place / "lan.conf").write_text(_LAN.format(name="lab", **values))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def on(self) -> bool:
        """Whether its power is on, by the file."""
        return self._power.read_text().strip() == "1"

    @property
    def options(self) -> dict[str, str]:
        """A device's, but for the password. `cipher`: the simulator cannot tell which suites it has, and ipmitool asks
        for ten seconds. `power_wait`: the agent's 2 s after each `off` and `on`."""
        return {
            "ip": self.address,
            "ipport": str(self.port),
            "username": "admin",
            "lanplus": "1",
            "cipher": "3",
            "power_wait": "0",
        }

    def __enter__(self) -> Self:
        place = self._place
        argv = ["ipmi_sim", "-c", str(place / "lan.conf"), "-f", str(place / "controller"), "-s", str(place / "state")]
        with (place / "log").open("wb") as log:
            self.process = subprocess.Popen(
                self._inside([*argv, "-n"]), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._await_answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _await_answer(self) -> None:
        """Until it answers IPMI's request for its authentication capabilities."""
        ask = [*self._inside(["ipmitool"]), "-C", "3", "-N", "1", "-R", "1", "-I", "lanplus", "-H", self.address]
        ask += ["-p", str(self.port), "-U", "admin", "-P", PASSWORD, "chassis", "power", "status"]
        end = time.monotonic() + 20
        while subprocess.run(ask, capture_output=True, timeout=20, check=False).returncode:
            assert self.process and self.process.poll() is None, (self._place / "log").read_text()
            assert time.monotonic() < end, (self._place / "log").read_text()
