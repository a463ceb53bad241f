"""A MariaDB with Galera on every node of a lab, and clients that write all the time."""

from __future__ import annotations

import contextlib
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from hactl.lab import spawn
from hactl.lab.cgroup import Cgroup
from hactl.lab.cluster import Lab
from hactl.lab.spec import CLIENT
from hactl.lab.system import LabError, run, wait_until
from hactl.lab.writes import Write

CHECK = Path(__file__).with_name("clustercheck.py")
PORT, CHECK_PORT = 3306, 9200
USER = "mysql"  # rsync, by which a node gets its first state, writes nothing as root
PROVIDER = "/usr/lib/galera/libgalera_smm.so"
# A member that is silent is left behind after two seconds: until then nobody can commit.
MEMBERSHIP = "evs.keepalive_period=PT0.3S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT5S;evs.install_timeout=PT4S"
TABLE = (
    "CREATE TABLE lab.writes (id BIGINT AUTO_INCREMENT PRIMARY KEY, accepted DOUBLE, node VARCHAR(9), "
    "balancer VARCHAR(60), client VARCHAR(9), number INT, sent DOUBLE)"
)
ANSWER_S = 3.0
SYNC_S = 60.0


class Galera:
    """One on each node, in the node's cgroup: a power cut takes it along."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.directory = lab.spec.path / "galera"
        self._make(self.directory)

    def up(self) -> Self:
        """A new cluster of all nodes, with an empty table."""
        first, *others = self._lab.nodes
        for name in self._lab.nodes:  # of an earlier test
            shutil.rmtree(self._data(name), ignore_errors=True)
        self._make(self._data(first))
        install = [
            "mariadb-install-db",
            "--no-defaults",
            "--user=root",
            "--skip-test-db",
            f"--datadir={self._data(first)}",
        ]
        run(install, timeout_s=120.0)
        for path in self._data(first).rglob("*"):
            shutil.chown(path, USER)
        self.start(first, bootstrap=True)
        self.ask(first, "CREATE DATABASE lab; " + TABLE)
        for name in others:
            self.start(name)
        return self

    def start(self, name: str, *, bootstrap: bool = False, donor: str = "") -> None:
        """Start it and its check; returns when it is in sync. `donor`: the node that gives it its first state, and is
        itself out of sync meanwhile."""
        node, data = self._lab.node(name), self._data(name)
        self._make(data)
        members = "" if bootstrap else ",".join(node.address for node in self._lab.nodes.values())
        options = {
            "user": USER, "datadir": data, "socket": self._socket(name), "pid-file": self.directory / f"{name}.pid",
            "bind-address": node.address, "port": PORT, "binlog-format": "ROW", "innodb-autoinc-lock-mode": 2,
            "innodb-buffer-pool-size": "16M", "innodb-log-file-size": "16M", "innodb-flush-log-at-trx-commit": 0,
            "max-connections": 60, "wsrep-on": "ON", "wsrep-provider": PROVIDER, "wsrep-sst-method": "rsync",
            "wsrep-sst-donor": donor,
            "wsrep-cluster-address": f"gcomm://{members}", "wsrep-node-address": node.address, "wsrep-node-name": name,
            "wsrep-provider-options": f"gcache.size=16M;gmcast.listen_addr=tcp://{node.address}:4567;{MEMBERSHIP}",
        }  # fmt: skip
        argv = ["mariadbd", "--no-defaults", "--skip-grant-tables", "--skip-name-resolve", "--performance-schema=OFF"]
        argv += [f"--{key}={value}" for key, value in options.items()]
        spawn.detached(node.namespace, node.group.child("backend/galera"), node.logs / "galera.log", argv)
        check = [sys.executable, str(CHECK), str(self.directory), name, node.address, str(CHECK_PORT)]
        spawn.detached(node.namespace, node.group.child("backend/clustercheck"), node.logs / "clustercheck.log", check)
        try:
            wait_until(lambda: self._synced(name), deadline_s=SYNC_S, goal=f"{name} is in sync", every_s=0.2)
        except LabError as error:
            raise LabError(f"{error}\n{(node.logs / 'galera.log').read_text()[-3000:]}") from None

    def ask(self, name: str, sql: str) -> list[list[str]]:
        """Have the server on a node do it: the rows."""
        said = run(["mariadb", "--no-defaults", "-S", self._socket(name), "-NBe", sql], timeout_s=30.0)
        return [line.split("\t") for line in said.splitlines()]

    def writes(self, via: str, since_ms: float) -> list[Write]:
        """The rows committed since then (Unix time, ms), as the server on a node has them."""
        rows = self.ask(
            via, f"SELECT accepted, node, balancer, client, number, sent FROM lab.writes WHERE sent > {since_ms}"
        )
        writes = [
            Write(float(at), node, by, client, int(number), float(sent)) for at, node, by, client, number, sent in rows
        ]
        return sorted(writes, key=lambda write: write.accepted_ms)

    def down(self) -> None:
        """SIGKILL to all of them."""
        for node in self._lab.nodes.values():
            for name in ("backend/galera", "backend/clustercheck"):
                if node.powered and node.group.child(name).path.exists():
                    node.group.child(name).kill()

    def _make(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        shutil.chown(directory, USER)

    def _synced(self, name: str) -> bool:
        try:
            return self.ask(name, "SHOW STATUS LIKE 'wsrep_local_state'") == [["wsrep_local_state", "4"]]
        except LabError:
            return False

    def _data(self, name: str) -> Path:
        return Path(self._lab.spec.memory) / f"galera-{name}"

    def _socket(self, name: str) -> str:
        return str(self.directory / f"{name}.sock")


class Clients:
    """Each writes a row after the other, through a connection that it opens again when it is cut or silent. `acked`: by
    client, the numbers of the rows that it was told are committed."""

    def __init__(self, lab: Lab, address: str, names: Iterable[str] = ("c0", "c1", "c2")) -> None:
        self._lab, self._address = lab, address
        self.acked: dict[str, list[int]] = {name: [] for name in names}
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(name,)) for name in self.acked]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, name: str) -> None:
        spec, number = self._lab.spec, 0
        argv = ["mariadb", "--no-defaults", "-h", self._address, "-P", str(PORT), "-u", "root", "-NBn"]
        argv += ["--connect-timeout=1", "--skip-ssl", "lab"]
        command = spawn.attached(spec.namespace(CLIENT), Cgroup(Path(spec.cgroup)).child(CLIENT), argv)
        while not self._ending.is_set():
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            # What it was sent last is lost with its connection.
            with contextlib.suppress(BrokenPipeError), subprocess.Popen(command, text=True, **pipes) as client:
                number += 1
                while _write(client, name, number) and not self._ending.is_set():
                    self.acked[name].append(number)
                    number += 1
                    time.sleep(0.01)
                client.kill()


def _write(client: subprocess.Popen[str], name: str, number: int) -> bool:
    """One row; whether it was acknowledged."""
    assert client.stdin is not None
    assert client.stdout is not None
    values = f"UNIX_TIMESTAMP(SYSDATE(6))*1000, @@wsrep_node_name, SUBSTRING_INDEX(USER(), '@', -1), '{name}', {number}"
    insert = "INSERT INTO writes (accepted, node, balancer, client, number, sent)"
    try:
        client.stdin.write(f"{insert} VALUES ({values}, {time.time() * 1000:.3f}); SELECT {number};\n")
        client.stdin.flush()
        readable, _, _ = select.select([client.stdout], [], [], ANSWER_S)
        return bool(readable) and client.stdout.readline().strip() == str(number)
    except (BrokenPipeError, ValueError):
        return False
