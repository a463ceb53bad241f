"""Health probes against servers that are well, and against those that are not, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from hactl.model.probes import CommandCheck, HealthProbe, HttpCheck, Rhythm, SqlCheck, TcpCheck
from hactl.probes.ask import ask
from hactl.probes.outcome import ProbeOutcome
from tests.integration.probes.servers import Serve, answering, certificate, closing, greeting, served, silent

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nall ok"
PATIENT_S, SHORT_S = 10.0, 0.3


def probe(check: Any, timeout_s: float = PATIENT_S) -> HealthProbe:
    return HealthProbe(check, Rhythm(timeout_s * 1000, timeout_s * 1000))


def sockets() -> set[str]:
    """The open sockets of this process."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(entry.readlink()))
    return {name for name in found if name.startswith("socket")}


def of_tcp(serve: Serve, timeout_s: float = PATIENT_S, **more: Any) -> ProbeOutcome:
    async def main() -> ProbeOutcome:
        async with served(serve) as port:
            return await closed_after(probe(TcpCheck(port, **more), timeout_s))

    return asyncio.run(main())


def of_http(serve: Serve, timeout_s: float = PATIENT_S, tls: ssl.SSLContext | None = None, **more: Any) -> ProbeOutcome:
    async def main() -> ProbeOutcome:
        async with served(serve, tls) as port:
            url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/health?deep=1"
            return await closed_after(probe(HttpCheck(url, **more), timeout_s))

    return asyncio.run(main())


async def closed_after(asked: HealthProbe) -> ProbeOutcome:
    """The outcome, of a probe that leaves no socket open."""
    before = sockets()
    outcome = await ask(asked)
    for _ in range(500):
        await asyncio.sleep(0.01)
        if sockets() <= before:
            return outcome
    raise AssertionError("a socket is left open")


@pytest.mark.parametrize(
    ("serve", "more", "ok", "words"),
    [
        (silent, {}, True, "connected"),
        (closing, {}, True, "connected"),
        (answering(b"+PONG\r\n"), {"send": "PING\r\n", "expect": r"\+PONG"}, True, 'answered "+PONG\\r\\n"'),
        (answering(b"+PO", b"NG\r\n", pause_s=0.05), {"send": "PING\r\n", "expect": "PONG"}, True, "PONG"),
        (greeting(b"SSH-2.0-OpenSSH"), {"expect": "^SSH-2"}, True, "SSH-2"),
        (answering(b"-LOADING\r\n"), {"send": "PING\r\n", "expect": "PONG"}, False,
         'the answer is "-LOADING\\r\\n", which has no `PONG`'),
        (closing, {"send": "PING\r\n", "expect": "PONG"}, False, "onnection"),
        (answering(b"x" * 10_000), {"send": "PING\r\n", "expect": "PONG"}, False, 'is "xxx'),
    ],
)  # fmt: skip
def test_tcp(serve: Serve, more: dict[str, Any], ok: bool, words: str) -> None:
    outcome = of_tcp(serve, **more)
    assert (outcome.ok, words in outcome.words) == (ok, True), outcome
    assert outcome.words.startswith("tcp 127.0.0.1:")


@pytest.mark.parametrize(
    "serve", [silent, answering(b"+P", stays=True), answering(*[b"x"] * 400, pause_s=0.02, stays=True)]
)
def test_tcp_that_does_not_come_to_an_end(serve: Serve) -> None:
    outcome = of_tcp(serve, SHORT_S, send="PING\r\n", expect="PONG")
    assert (outcome.ok, outcome.words.partition(": ")[2]) == (False, "no answer within 0.3 s")
    assert SHORT_S <= outcome.seconds < SHORT_S + 3


def test_a_pattern_that_would_take_for_ever_does_not_hold_up_the_loop() -> None:
    began = time.monotonic()
    outcome = of_tcp(answering(b"a" * 4000), send="PING\r\n", expect="(a+)+b")
    assert not outcome.ok
    assert "takes too long to look for `(a+)+b`" in outcome.words
    assert time.monotonic() - began < 5


def test_nobody_there() -> None:
    async def main() -> ProbeOutcome:
        async with served(silent) as port:
            pass
        return await ask(probe(TcpCheck(port)))

    outcome = asyncio.run(main())
    assert not outcome.ok
    assert "refused" in outcome.words


@pytest.mark.parametrize(
    ("serve", "more", "ok", "words"),
    [
        (answering(OK), {}, True, "status 200"),
        (answering(OK), {"body": "^all .k$"}, True, "status 200, with"),
        (answering(OK), {"body": "degraded"}, False, 'the body is "all ok", which has no `degraded`'),
        (answering(OK), {"status": (204, 301)}, False, "status 200, not 204 or 301"),
        (answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), {}, False, "status 503, not 200"),
        (answering(b"HTTP/1.0 200 OK\r\n\r\nuntil the end"), {"body": "end$"}, True, "status 200"),
        (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nal\r\n4\r\nl ok\r\n0\r\n\r\n"),
         {"body": "all ok"}, True, "status 200"),
        (answering(b"HTTP/1.1 100 Continue\r\n\r\n", OK), {}, True, "status 200"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 20_000, stays=True), {"body": "y"},
         False, "which has no `y`"),
        (closing, {}, False, "onnection"),
        (greeting(b"SSH-2.0-OpenSSH\r\n\r\n"), {}, False, "no HTTP answer"),
        (answering(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000), {}, False, "no HTTP answer"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), {"body": "."}, False, "no HTTP answer"),
    ],
)  # fmt: skip
def test_http(serve: Serve, more: dict[str, Any], ok: bool, words: str) -> None:
    outcome = of_http(serve, **more)
    assert (outcome.ok, words in outcome.words) == (ok, True), outcome
    assert outcome.words.startswith("http http://127.0.0.1:")


@pytest.mark.parametrize(
    ("serve", "more"),
    [
        (silent, {}),
        (answering(b"HTTP/1.1 200 OK\r\n", stays=True), {}),
        (answering(OK[:-3], stays=True), {"body": "ok"}),
        (answering(*(OK[index : index + 1] for index in range(len(OK))), pause_s=0.1), {}),
    ],
)
def test_http_that_does_not_come_to_an_end(serve: Serve, more: dict[str, Any]) -> None:
    outcome = of_http(serve, SHORT_S, **more)
    assert (outcome.ok, "no answer within 0.3 s" in outcome.words) == (False, True), outcome


def test_the_request(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)

    secret = tmp_path / "token"
    secret.write_text("Bearer abc\n")
    secret.chmod(0o600)
    more = {"host": "api.example.org", "headers": {"X-Probe": "1"}, "header_files": {"Authorization": str(secret)}}
    assert of_http(serve, **more).ok
    [head] = asked
    assert head.startswith(b"GET /health?deep=1 HTTP/1.1\r\n")
    lines = {line.lower() for line in head.splitlines()}
    assert {b"host: api.example.org", b"x-probe: 1", b"authorization: bearer abc", b"connection: close"} <= lines
    secret.chmod(0o644)
    outcome = of_http(serve, **more)
    assert not outcome.ok
    assert "chmod 600" in outcome.words
    assert "abc" not in outcome.words


def test_certificates(tmp_path: Path) -> None:
    (tls, authority), (other, _) = certificate(tmp_path, "api.example.org"), certificate(tmp_path, "other")
    named = {"host": "api.example.org", "ca": str(authority)}
    assert of_http(answering(OK), tls=tls, **named).ok
    assert of_http(answering(OK), tls=tls, ca=str(authority)).ok  # by its address
    for server, more, words in (
        (tls, {}, "the certificate is not valid: self-signed"),
        (other, named, "the certificate is not valid"),
        (tls, named | {"host": "www.example.org"}, "not valid: Hostname mismatch"),
        (tls, {"ca": str(tmp_path / "none.pem")}, "there is no file"),
        (tls, {"ca": str(tmp_path / "other.key")}, "has no certificates"),
    ):
        outcome = of_http(answering(OK), tls=server, **more)  # type: ignore[arg-type]
        assert (outcome.ok, words in outcome.words) == (False, True), outcome
    assert of_http(answering(OK), tls=other, verify=False).ok
    outcome = of_http_over_plain()
    assert (outcome.ok, "no TLS" in outcome.words) == (False, True), outcome


def of_http_over_plain() -> ProbeOutcome:
    async def main() -> ProbeOutcome:
        async with served(greeting(b"220 mail ready\r\n")) as port:
            return await ask(probe(HttpCheck(f"https://127.0.0.1:{port}/", verify=False)))

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("command", "ok", "words"),
    [
        (["/bin/true"], True, "ended with status 0"),
        (["/bin/sh", "-c", "echo no disk >&2; exit 3"], False, "no disk"),
        (["/bin/sh", "-c", '[ "$HACTL_GROUP" = web ]'], True, ""),
        (["/no/such/check"], False, "command not found"),
        (["/bin/sh", "-c", "kill -9 $$"], False, "SIGKILL"),
    ],
)
def test_commands(command: list[str], ok: bool, words: str) -> None:
    outcome = asyncio.run(ask(probe(CommandCheck(tuple(command))), env={"HACTL_GROUP": "web"}))
    assert (outcome.ok, words in outcome.words) == (ok, True), outcome


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"trap '' TERM; sleep 600 & echo $! > {pid}; wait"
    outcome = asyncio.run(ask(probe(CommandCheck(("/bin/sh", "-c", script)), 1.0)))
    assert not outcome.ok
    assert "no answer within" in outcome.words or "did not end" in outcome.words, outcome
    for _ in range(100):
        if not Path(f"/proc/{pid.read_text().strip()}/cmdline").exists():
            return
        time.sleep(0.05)
    raise AssertionError("its child lives on")


CLIENT = """#!/bin/sh
echo "$0 $*" >> {log}
echo "password $MYSQL_PWD$PGPASSWORD" >> {log}
{body}
"""


@pytest.mark.parametrize(
    ("check", "client", "arguments"),
    [
        (SqlCheck("mysql", user="probe", database="d"), "mariadb",
         "--no-defaults --host=127.0.0.1 --port=3306 --protocol=tcp --user=probe --database=d"),
        (SqlCheck("mysql", socket="/run/s"), "mysql", "--no-defaults --socket=/run/s --protocol=socket"),
        (SqlCheck("postgresql", user="probe", port=5433), "psql", "--host=127.0.0.1 --port=5433 --username=probe"),
        (SqlCheck("postgresql", socket="/run/p"), "psql", "--host=/run/p --port=5432"),
    ],
)  # fmt: skip
def test_a_database_is_asked_by_its_client(
    check: SqlCheck, client: str, arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client stands in for the database: real ones are asked in `make test-ocf`."""
    log, secret, program = tmp_path / "log", tmp_path / "secret", tmp_path / client
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    monkeypatch.setenv("PATH", str(tmp_path))  # not the real ones
    from msgspec.structs import replace

    asked = replace(check, password_file=str(secret), expect="^1$")
    for body, ok, words in (("echo 1", True, 'answered "1"'), ("echo 12", False, "which has no"), (":", False, "")):
        program.write_text(CLIENT.format(log=log, body=body))
        program.chmod(0o755)
        outcome = asyncio.run(ask(probe(asked)))
        assert (outcome.ok, words in outcome.words) == (ok, True), outcome
        assert "s3cret" not in outcome.words
    program.write_text(CLIENT.format(log=log, body="echo Access denied >&2; exit 1"))
    assert "Access denied" in asyncio.run(ask(probe(asked))).words
    assert arguments in log.read_text()
    assert "s3cret" not in "".join(line for line in log.read_text().splitlines() if "--" in line)
    assert "password s3cret" in log.read_text()


def test_without_the_databases_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install the client" in asyncio.run(ask(probe(SqlCheck("postgresql")))).words
