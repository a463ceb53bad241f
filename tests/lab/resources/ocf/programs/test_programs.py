"""Agents of Debian's resource-agents with the programs that they are for: their life, and ocf-tester's verdict."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hactl.resources.base import NodeContext
from tests.lab.resources.ocf.real import Real, an_address, await_life, complaints_of_tester, has_port
from tests.support.namespaces import inside
from tests.support.ports import LOOPBACK, free_port

pytestmark = pytest.mark.root

MAX_S = 300
# ocf-tester promotes what can be promoted; these agents do that only in a cluster with several instances.
UNPROMOTED = frozenset({"Promote failed"})
UNDEMOTED = frozenset({"Demoting a start resource should not fail", "Demote failed"})


def sh(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=MAX_S).stdout


def answers(port: int, question: bytes, answer: bytes) -> bool:
    """Whether what listens there answers so."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=5) as client:
            client.sendall(question)
            return answer in client.recv(4096)
    except OSError:
        return False


def nginx(place: Path) -> Real:
    port = free_port()
    config = place / "nginx.conf"
    # The agent reads it, too, line by line.
    config.write_text(
        f"user nobody nogroup;\npid {place}/nginx.pid;\nerror_log {place}/error.log;\nevents {{ }}\n"
        f"http {{\naccess_log off;\nserver {{\nlisten {LOOPBACK}:{port};\n"
        "location /nginx_status { stub_status; }\nlocation / { return 200 hello; }\n}\n}\n"
    )
    status = f"http://{LOOPBACK}:{port}/nginx_status"
    given = {"configfile": str(config), "port": str(port), "status10url": status}
    return Real("heartbeat:nginx", lambda: answers(port, b"GET / HTTP/1.0\r\n\r\n", b"hello"), given)


def apache(place: Path) -> Real:
    port = free_port()
    (place / "index.html").write_text("hello")
    modules = "".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
        for name in ("mpm_event", "authz_core", "authz_host", "dir", "status")
    )
    config = place / "apache.conf"
    config.write_text(
        f"ServerName localhost\nServerRoot {place}\nPidFile {place}/apache.pid\nErrorLog {place}/error.log\n{modules}"
        f"Listen {LOOPBACK}:{port}\nUser www-data\nGroup www-data\nDocumentRoot {place}\nDirectoryIndex index.html\n"
        "<Location /server-status>\nSetHandler server-status\n</Location>\n"
    )
    status = f"http://{LOOPBACK}:{port}/server-status"
    # In this order: its `stop` kills all that have the program, then the file, in their command lines: ocf-tester, too.
    given = {"configfile": str(config), "httpd": "/usr/sbin/apache2", "statusurl": status, "port": str(port)}
    return Real("heartbeat:apache", lambda: answers(port, b"GET / HTTP/1.0\r\n\r\n", b"hello"), given)


def redis(place: Path) -> Real:
    port, run = free_port(), place / "redis"
    run.mkdir()
    config = run / "redis.conf"
    config.write_text(f"bind {LOOPBACK}\nport {port}\ndir {run}\nunixsocketperm 777\n")
    shutil.chown(run, "redis")
    given = {"config": str(config), "rundir": str(run), "port": str(port), "user": "redis"}
    return Real("heartbeat:redis", lambda: answers(port, b"PING\r\n", b"PONG"), given, UNPROMOTED)


def pgsql(place: Path) -> Real:
    port, data, run = free_port(), place / "pgdata", place / "pgrun"
    (programs,) = list(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
    for directory in (data, run):
        directory.mkdir()
        shutil.chown(directory, "postgres")
    as_postgres = ("runuser", "-u", "postgres", "--")
    sh(*as_postgres, f"{programs}/initdb", "-D", str(data), "-A", "trust", "--no-sync")
    options = f"-c listen_addresses={LOOPBACK} -c unix_socket_directories={run} -c fsync=off"
    given = {
        "pgctl": f"{programs}/pg_ctl", "psql": "/usr/bin/psql", "pgdata": str(data), "pgport": str(port),
        "socketdir": str(run), "logfile": str(run / "log"), "start_opt": options,
    }  # fmt: skip
    return Real("heartbeat:pgsql", lambda: has_port(port), given, UNPROMOTED | UNDEMOTED)


def mysql(place: Path) -> Real:
    port, data, run = free_port(), place / "data", place / "mysql"
    for directory in (data, run):
        directory.mkdir()
    sh("mariadb-install-db", "--no-defaults", "--user=mysql", "--skip-test-db", f"--datadir={data}")
    for directory in (data, run):
        shutil.chown(directory, "mysql")
    config = place / "my.cnf"
    config.write_text(f"[mysqld]\nbind-address={LOOPBACK}\nport={port}\ninnodb-buffer-pool-size=16M\n")
    given = {
        "binary": "/usr/sbin/mariadbd", "client_binary": "/usr/bin/mariadb", "config": str(config), "user": "mysql",
        "datadir": str(data), "pid": str(run / "pid"), "socket": str(run / "socket"), "log": str(run / "log"),
    }  # fmt: skip
    return Real("heartbeat:mysql", lambda: has_port(port), given)


PROGRAMS: list[Callable[[Path], Real]] = [nginx, apache, redis, pgsql, mysql]


@pytest.fixture(params=PROGRAMS, ids=lambda prepare: prepare.__name__)
def program(request: pytest.FixtureRequest, place: Path) -> Real:
    real: Real = request.param(place)
    return real


def test_a_program(program: Real, context: NodeContext) -> None:
    await_life(program, context)


def test_ocf_tester_on_a_program(program: Real, place: Path) -> None:
    assert complaints_of_tester(program, place) == program.complaints


@pytest.fixture
def address(namespace: str) -> Real:
    """Of IPv6: the agent waits until nobody else has it."""
    return an_address(namespace, "fd77::9", "64")


def test_an_address(address: Real, namespace: str, context: NodeContext) -> None:
    inside(namespace, lambda: await_life(address, context))


def test_ocf_tester_on_an_address(address: Real, namespace: str, place: Path) -> None:
    assert inside(namespace, lambda: complaints_of_tester(address, place)) == address.complaints
