"""How etcd is reached, as status and metrics tell it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from election.etcd.tls import CertificateEnd
from election.keys import Keys
from election.view import View
from hactl.config.etcd_access import certificate_ends
from hactl.config.node import NodeConfig
from hactl.daemon.metrics import Metrics
from hactl.daemon.observe.etcd_access import EtcdAccess
from hactl.status import document as status
from hactl.status.local import Local
from tests.support.certificates import make


def warnings_of(access: EtcdAccess) -> list[dict[str, str]]:
    """The warnings of a status document made with it."""
    local = Local("live", 1000.0, True, access=access.facts())
    document = status.status(View(Keys.of("demo")), None, "n1", local=local)
    return [warning for warning in document["warnings"] if "no cluster" not in warning["what"]]


def access(**settings: Any) -> EtcdAccess:
    return EtcdAccess(NodeConfig(cluster="demo", node="n1", **settings))


def looked(made: EtcdAccess) -> None:
    """Run it until it has looked once."""

    async def main() -> None:
        looking = asyncio.create_task(made.run())
        async with asyncio.timeout(20):
            while not made.certificates:  # noqa: ASYNC110 - a thread
                await asyncio.sleep(0.01)
        looking.cancel()

    asyncio.run(main())


def test_it_is_looked_at_from_the_start(tmp_path: Path) -> None:
    ca = make(tmp_path, "ca", 5)
    made = access(endpoints=("https://127.0.0.1:1",), etcd_ca=str(ca), cluster_key=str(tmp_path / "none"))
    looked(made)
    said = [warning["what"] for warning in warnings_of(made)]
    assert any(f"the certificate {ca} for etcd ends in 5 days" in text for text in said)
    assert any("everybody who reaches it can write to it" in text for text in said)
    assert any("can have programs run as root" in text for text in said)
    metrics = Metrics()
    metrics.collect_certificates(made.certificates)
    assert b'hactl_etcd_certificate_end_timestamp_seconds{kind="ca"}' in metrics.text()


def test_the_certificates_of_the_etcd_member_here_are_watched(tmp_path: Path) -> None:
    server, peer = make(tmp_path, "server", 300), make(tmp_path, "peer", 5)
    gone = str(tmp_path / "gone.pem")
    made = access(etcd_member_certs=(str(server), str(peer), gone))
    made.certificates = certificate_ends(
        NodeConfig(cluster="c", node="n", etcd_member_certs=(str(server), str(peer), gone))
    )
    assert [known.kind for known in made.certificates] == ["server", "peer"]
    (warning,) = [warning for warning in warnings_of(made) if "certificate" in warning["what"]]
    assert f"{peer} for etcd ends in 5 days" in warning["what"]
    assert "`hactl certs renew`" in warning["do"]


@contextlib.contextmanager
def member(certificate: Path) -> Iterator[str]:
    """Something that shows this certificate, as a member of etcd does: its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    plain, _ = listening.accept()
                except OSError:
                    return
                with plain, contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                    secure.recv(1)

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield f"https://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join()


def test_the_certificates_that_members_show_are_watched(tmp_path: Path) -> None:
    """A witness has no daemon. A member that does not answer hides nothing of the others."""
    ca, server, witness = make(tmp_path, "ca", 300), make(tmp_path, "server", 200), make(tmp_path, "witness", 5)
    with member(witness) as first, member(server) as second:
        made = access(endpoints=(first, "https://127.0.0.1:1", second), etcd_ca=str(ca))
        looked(made)
    assert [known.path for known in made.certificates] == [str(ca), first, second]
    (warning,) = [warning for warning in warnings_of(made) if "certificate " in warning["what"]]
    assert f"the certificate {first} for etcd ends in 5 days" in warning["what"]
    metrics = Metrics()
    metrics.collect_certificates(made.certificates)
    (shown,) = re.findall(r'certificate_end_timestamp_seconds{kind="server"} (\S+)', metrics.text().decode())
    assert float(shown) == min(known.end for known in made.certificates).timestamp()


@pytest.mark.parametrize(
    ("days", "level", "says"),
    [(15, None, ""), (13, "warning", "ends in 13 days"), (2, "error", "ends in 2 days"), (-1, "error", "ended")],
)
def test_certificates_that_end_soon(days: int, level: str | None, says: str) -> None:
    made = access()
    ends = datetime.now(UTC) + timedelta(days=days, minutes=5)
    made.certificates = [
        CertificateEnd("ca", "/ca.pem", ends + timedelta(days=99)),
        CertificateEnd("client", "/c.pem", ends),
    ]
    warned = warnings_of(made)
    assert [warning["level"] for warning in warned] == ([level] if level else [])
    assert all(says in warning["what"] and "/c.pem" in warning["what"] for warning in warned)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """For directories with sockets in them, whose paths must be short."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def test_a_daemon_that_cannot_use_a_file_yet_asks_to_be_started_again(tmp_path: Path, short_path: Path) -> None:
    """At a boot, or in the middle of a renewal: exit status 2 would be for good."""
    settings = {
        "cluster": "demo",
        "node": "n1",
        "etcd_ca": "/nowhere/ca.pem",
        "cgroup_root": f"{tmp_path}/cgroup",
        "state_dir": f"{tmp_path}/state",
        "run_dir": f"{short_path}/run",
        "machine_id_file": f"{tmp_path}/machine-id",
    }
    (tmp_path / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    file = tmp_path / "node.toml"
    lines = [f'{name} = "{value}"' for name, value in settings.items()] + ['endpoints = ["https://127.0.0.1:1"]']
    file.write_text("\n".join(lines))
    script = (
        f"import sys, hactl.daemon.main as main; main.LOOK_AGAIN_S = 0; sys.exit(main.run(main.Path({str(file)!r})))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert "/nowhere/ca.pem cannot be read: No such file or directory" in done.stderr
    assert done.returncode == 1, done.stderr


def test_ends_are_noted_once_for_each_limit(tmp_path: Path) -> None:
    notes: list[tuple[str, dict[str, Any]]] = []
    made = EtcdAccess(NodeConfig(cluster="demo", node="n1"), lambda *note: notes.append(note))
    now = datetime.now(UTC)
    for days in (20, 13.9, 13, 2.9, 2, -1, -2):
        end = now + timedelta(days=days)
        made.certificates = [CertificateEnd("client", "/a", end), CertificateEnd("ca", "/b", now + timedelta(days=99))]
        made._note_ends()
        made._note_ends()  # looked at every minute
    assert {event for event, _ in notes} == {"certificate_ends_soon"}
    assert [round(data["days"], 1) for _, data in notes] == [13.9, 13, 2.9, 2, -1, -2]
    assert {data["path"] for _, data in notes} == {"/a"}


def test_one_certificate_is_noted_three_times_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [20.0]
    notes: list[float] = []
    made = EtcdAccess(NodeConfig(cluster="demo", node="n1"), lambda _, data: notes.append(data["days"]))
    made.certificates = [CertificateEnd("client", "/a", datetime.now(UTC))]
    monkeypatch.setattr("hactl.daemon.observe.etcd_access.days_left", lambda certificate: left[0])
    for left[0] in (20.0, 14.0, 13.0, 3.0, 2.0, 0.5, 0.0, -1.0):
        made._note_ends()
    assert notes == [14.0, 3.0, 0.0]
