"""The probe `sql` with a real MariaDB and a real PostgreSQL: `make test-ocf` installs them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from hactl.model.probes import HealthProbe, Rhythm, SqlCheck
from hactl.probes.ask import ask
from hactl.probes.outcome import ProbeOutcome
from tests.support.ports import free_port
from tests.support.waiting import until

pytestmark = [pytest.mark.ocf, pytest.mark.root]


def asked(check: SqlCheck, timeout_ms: float = 10_000.0) -> ProbeOutcome:
    return asyncio.run(ask(HealthProbe(check, Rhythm(timeout_ms=timeout_ms))))


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server in the foreground."""
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield server
    finally:
        server.kill()
        server.wait()


def secret(directory: Path, word: str) -> str:
    file = directory / f"password-{word}"
    file.write_text(word + "\n")
    file.chmod(0o600)
    return str(file)


def judge(server: subprocess.Popen[bytes], good: SqlCheck, wrong: SqlCheck) -> None:
    """A good answer, a wrong password, a wrong answer, a server that stands still, and none."""
    until(lambda: asked(good).ok, "it answers")
    assert 'answered "1"' in asked(good).words
    refused = asked(wrong)
    assert (refused.ok, "denied" in refused.words or "authentication failed" in refused.words) == (False, True), refused
    other = asked(replace(good, query="SELECT 2"))
    assert (other.ok, "which has no `^1$`" in other.words) == (False, True), other
    os.kill(server.pid, signal.SIGSTOP)
    assert "no answer within 1 s" in asked(good, 1_000.0).words
    os.kill(server.pid, signal.SIGCONT)
    until(lambda: asked(good).ok, "it answers")
    server.kill()
    server.wait()
    assert not asked(good).ok


def test_mariadb(place: Path) -> None:
    data, port = place / "data", free_port()
    of_mysql = [f"--datadir={data}", "--user=mysql"]
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", *of_mysql, "--auth-root-authentication-method=normal"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    init = place / "init.sql"
    init.write_text("CREATE USER probe@localhost IDENTIFIED BY 'right';\n")
    init.chmod(0o644)
    net = [
        f"--port={port}",
        "--bind-address=127.0.0.1",
        f"--socket={data}/s",
        f"--init-file={init}",
        "--skip-networking=0",
    ]
    with running("mariadbd", "--no-defaults", *of_mysql, *net) as server:
        good = SqlCheck("mysql", None, port, None, "probe", secret(place, "right"), None, "SELECT 1", "^1$")
        wrong = SqlCheck("mysql", None, port, None, "probe", secret(place, "wrong"))
        judge(server, good, wrong)


def test_postgresql(place: Path) -> None:
    binaries = max(Path("/usr/lib/postgresql").iterdir()) / "bin"
    data, port = place / "data", free_port()
    data.mkdir()
    subprocess.run(["chown", "postgres", str(data)], check=True)
    password = place / "init"
    password.write_text("right\n")
    password.chmod(0o644)
    as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    initdb = [str(binaries / "initdb"), "-D", str(data), "-A", "scram-sha-256", f"--pwfile={password}"]
    subprocess.run([*as_postgres, *initdb], check=True, capture_output=True, timeout=120, cwd="/")
    options = ["-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(data)]
    with running(*as_postgres, str(binaries / "postgres"), *options) as server:
        good = SqlCheck("postgresql", None, port, None, "postgres", secret(place, "right"), None, "SELECT 1", "^1$")
        wrong = SqlCheck("postgresql", None, port, None, "postgres", secret(place, "wrong"))
        judge(server, good, wrong)


@pytest.fixture(autouse=True)
def _needs_them() -> None:
    for program in ("mariadbd", "psql"):
        assert any(Path(folder, program).exists() for folder in ("/usr/sbin", "/usr/bin")), f"needs {program}"
