"""A copy of a node's disk, booted as a machine of its own beside the lab's nodes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

from hactl.lab import netns
from hactl.lab.cgroup import Cgroup
from hactl.lab.node import Node
from hactl.lab.system import run
from tests.lab.cluster.whole import Cluster

ADDRESS = "10.77.0.61"
PORT = "copy-port"


class Copy:
    """The same node.toml, state and machine id as `node`, another boot, `address`es of its own. As long as the context
    lasts it has power."""

    def __init__(self, cluster: Cluster, node: Node, *addresses: str) -> None:
        self.cluster, self.node = cluster, node
        self.home = cluster.lab.spec.path / "copy"
        self.namespace = cluster.lab.spec.namespace("copy")
        self.group = Cgroup(node.group.path.parent / "copy")
        self.addresses = addresses or (ADDRESS,)
        self._daemon: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Copy:
        self._write()
        spec = self.cluster.lab.spec
        run(["ip", "netns", "add", self.namespace])
        run(
            [
                "ip",
                "-n",
                spec.bridge,
                "link",
                "add",
                PORT,
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                self.namespace,
            ]
        )
        run(["ip", "-n", spec.bridge, "link", "set", PORT, "master", "br0", "up"])
        run(["ip", "-n", self.namespace, "link", "set", "lo", "up"])
        for address in self.addresses:
            run(["ip", "-n", self.namespace, "addr", "add", f"{address}/24", "dev", "eth0"])
        run(["ip", "-n", self.namespace, "link", "set", "eth0", "up"])
        return self

    def __exit__(self, *_: object) -> None:
        print(self.said()[-4000:])  # shown where the test failed
        self.group.kill()
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait()
        run(["ip", "-n", self.cluster.lab.spec.bridge, "link", "del", PORT])
        netns.remove(self.namespace)
        self.group.remove()
        shutil.rmtree(self.home, ignore_errors=True)

    def _write(self) -> None:
        source = self.node.home
        self.home.mkdir()
        shutil.copytree(source / "state", self.home / "state")
        (self.home / "run").mkdir()
        shutil.copy(source / "machine-id", self.home)
        (self.home / "boot-id").write_text(f"{uuid.uuid4()}\n")
        text = (source / "node.toml").read_text().replace(f"{source}/", f"{self.home}/")
        others = [node.address for node in self.cluster.nodes.values() if node is not self.node]
        for setting, value in {
            "cgroup_root": f'"{self.group.path}"',
            "endpoints": str([f"http://{address}:2379" for address in others]).replace("'", '"'),
            "self_fence": '"log"',
        }.items():
            text = re.sub(rf"(?m)^{setting} = .*$", f"{setting} = {value}", text)
        (self.home / "node.toml").write_text(text)

    def start(self) -> None:
        """Its daemon."""
        self.group.create(["daemon"])
        command = ["nsenter", f"--net={netns.path(self.namespace)}", sys.executable, "-I", "-m", "hactl.daemon"]
        join = 'echo 0 >"$1/cgroup.procs"; shift; exec "$@"'
        log = os.open(self.home / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        command += ["--config", str(self.home / "node.toml")]
        self._daemon = subprocess.Popen(
            ["sh", "-c", join, "sh", str(self.group.child("daemon").path), *command],
            stdout=log,
            stderr=log,
        )
        os.close(log)

    def ended(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._daemon.poll() if self._daemon else None

    def said(self) -> str:
        """Its log."""
        log = Path(self.home, "log")
        return log.read_text(errors="replace") if log.exists() else ""

    def stop(self) -> None:
        """SIGKILL to its daemon."""
        if self._daemon is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._daemon.pid, signal.SIGKILL)
            self._daemon.wait()
