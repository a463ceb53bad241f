"""hactl's own unit in the container, with an etcd of its own: a cluster of one node."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from nspawn import Machine, booted_machine

ROOT = Path(__file__).parents[2]

ETCD = """[Service]
Type=notify
ExecStart={etcd} --data-dir=/var/tmp/etcd --log-level=warn --logger=zap --log-outputs=stderr \\
  --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \\
  --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \\
  --initial-cluster=default=http://127.0.0.1:2380
"""
NODE = """cluster = "units"
node = "n1"
metrics_listen = ""
self_fence = "log"
"""


class Controller:
    """The container with etcd and hactl in it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def hactl(self, *words: str) -> str:
        return self.machine.run(sys.executable, "-m", "hactl.cli.main", *words)

    def write(self, path: str, text: str) -> None:
        file = Path(f"{self.machine.root}{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def shown(self, name: str, unit: str = "hactl.service") -> str:
        return self.machine.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def pids(self, *command: str) -> list[str]:
        """The processes inside that were started by this command."""
        wanted = "\0".join(command).encode()
        pids = []
        for place in Path(f"{self.machine.root}/proc").glob("[0-9]*"):
            try:
                if wanted in (place / "cmdline").read_bytes():
                    pids.append(place.name)
            except OSError:
                continue
        return pids

    def guard(self) -> list[str]:
        return self.pids("--socket", "/run/hactl/guard.sock")

    def status(self) -> dict[str, Any]:
        try:
            status: dict[str, Any] = json.loads(self.hactl("status", "--json"))
        except ValueError:
            return {"source": "", "groups": []}
        return status

    def runs(self) -> bool:
        """A daemon is there, and says that every group runs."""
        status = self.status()
        states = {group["state"] for group in status["groups"]}
        return status["source"] == "daemon" and states == {"running"}


@contextlib.contextmanager
def booted(console: Path, cluster: str, more_binds: Sequence[str] = ()) -> Iterator[Controller]:
    """The container with a cluster of this configuration begun; the daemon is not started yet. `more_binds`: HERE:THERE
    of this machine's."""
    etcd = shutil.which("etcd")
    if etcd is None:
        pytest.skip("needs etcd")
    binds = [ROOT, Path(sys.base_prefix), Path(sys.prefix), Path(etcd)]
    with booted_machine(console, [*binds, *more_binds]) as machine:
        controller = Controller(machine)
        controller.write("/etc/hactl/node.toml", NODE)
        controller.write("/etc/hactl/cluster.yaml", cluster)
        machine.unit("etcd.service", ETCD.format(etcd=etcd))
        assert machine.run("systemctl", "start", "etcd.service") == ""
        said = controller.hactl("init", "/etc/hactl/cluster.yaml")
        assert "cluster units begun" in said, said
        text = (ROOT / "deploy/systemd/hactl.service").read_text()
        machine.unit("hactl.service", re.sub("/opt/hactl/bin/python", sys.executable, text))
        yield controller
