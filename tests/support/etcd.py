"""Real etcd members on loopback for tests: start, stop, kill, freeze, restart; TLS; users.

The binary is `$ETCD` (default `etcd`), `etcdctl` is taken from the same directory or the path. Every member
dies with the thread that started it (its parent death signal), so that nothing is left of a killed test run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import free_port

START_TIMEOUT_S = 20.0
CALL_TIMEOUT_S = 10.0
HOST = "127.0.0.1"


def etcd_binary() -> str:
    """The etcd to test against."""
    return os.environ.get("ETCD", "etcd")


def etcdctl_binary() -> str:
    """The etcdctl that belongs to it, or the one of the path."""
    beside = Path(shutil.which(etcd_binary()) or etcd_binary()).with_name("etcdctl")
    return str(beside) if beside.exists() else "etcdctl"


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, a server certificate for loopback, and a client certificate of name `client`."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


def make_certificates(directory: Path) -> Certificates:
    """An authority and two certificates of it, valid for a day, made with the openssl command."""
    directory.mkdir(parents=True, exist_ok=True)
    ca = directory / "ca.pem"
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl("req", "-x509", *new_key, "-days", "1", "-subj", "/CN=test authority",
             "-keyout", f"{directory}/ca.key", "-out", f"{ca}")  # fmt: skip
    for name, usage in (("server", "serverAuth,clientAuth"), ("client", "clientAuth")):
        extensions = directory / f"{name}.ext"
        extensions.write_text(f"extendedKeyUsage={usage}\nsubjectAltName=DNS:localhost,IP:{HOST}\n")
        _openssl("req", *new_key, "-subj", f"/CN={name}",
                 "-keyout", f"{directory}/{name}.key", "-out", f"{directory}/{name}.csr")  # fmt: skip
        _openssl("x509", "-req", "-days", "1", "-in", f"{directory}/{name}.csr", "-CA", f"{ca}",
                 "-CAkey", f"{directory}/ca.key", "-CAcreateserial", "-extfile", f"{extensions}",
                 "-out", f"{directory}/{name}.pem")  # fmt: skip
    return Certificates(
        ca,
        directory / "server.pem",
        directory / "server.key",
        directory / "client.pem",
        directory / "client.key",
    )


def sign_client_certificate(directory: Path, days: int) -> Path:
    """The client's certificate anew, from the same request: a file beside the old one. Below 0 days it has ended."""
    made = directory / "client.again.pem"
    _openssl("x509", "-req", "-days", str(days), "-in", f"{directory}/client.csr", "-CA", f"{directory}/ca.pem",
             "-CAkey", f"{directory}/ca.key", "-CAcreateserial", "-extfile", f"{directory}/client.ext",
             "-out", f"{made}")  # fmt: skip
    return made


def client_certificate(directory: Path, name: str, common_name: str) -> tuple[Path, Path]:
    """A client's certificate and key, NAME.pem and NAME.key, of the authority there."""
    made = directory / f"{name}.pem", directory / f"{name}.key"
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl("req", *new_key, "-subj", f"/CN={common_name}",
             "-keyout", f"{made[1]}", "-out", f"{directory}/{name}.csr")  # fmt: skip
    _openssl("x509", "-req", "-days", "1", "-in", f"{directory}/{name}.csr", "-CA", f"{directory}/ca.pem",
             "-CAkey", f"{directory}/ca.key", "-CAcreateserial", "-out", f"{made[0]}")  # fmt: skip
    return made


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=CALL_TIMEOUT_S)


@dataclass
class EtcdMember:
    """One member: its addresses, its directory and, while it runs, its process."""

    name: str
    directory: Path
    client_port: int
    peer_port: int
    arguments: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Host and port for clients."""
        return f"{HOST}:{self.client_port}"

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start the process; does not wait until it answers."""
        command = [etcd_binary(), *self.arguments]
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def stop(self) -> None:
        """Kill the process, as a power cut does, and wait for its end. Idempotent."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait(timeout=CALL_TIMEOUT_S)
        self.process = None

    def restart(self) -> None:
        """Stop and start it with the same data."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing. Returns when every thread has stopped: on a
        busy machine that takes a while, and until then they work on."""
        os.kill(self.pid, signal.SIGSTOP)
        deadline = time.monotonic() + CALL_TIMEOUT_S
        while not self._stopped():
            if time.monotonic() > deadline:
                raise RuntimeError(f"etcd {self.name} does not stop")
            time.sleep(0.001)

    def _stopped(self) -> bool:
        # proc(5), /proc/[pid]/stat: the state follows the name, which is in parentheses.
        stats = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in stats)

    def thaw(self) -> None:
        """End a freeze."""
        os.kill(self.pid, signal.SIGCONT)

    def log(self) -> str:
        """Its log so far."""
        return (self.directory / f"{self.name}.log").read_text(errors="replace")


class EtcdCluster:
    """A cluster of one or more members, usable as a context manager. Data are on a memory file system."""

    def __init__(
        self,
        size: int = 1,
        *,
        heartbeat_ms: int = 50,
        election_ms: int = 300,
        quota_bytes: int | None = None,
        auth_token: str | None = None,
        auth_token_ttl_s: int | None = None,
        tls: bool = False,
        arguments: Sequence[str] = (),
    ) -> None:
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.directory = Path(tempfile.mkdtemp(prefix="etcd-test-", dir=memory))
        self.certificates = make_certificates(self.directory / "tls") if tls else None
        self.user: tuple[str, str] | None = None
        self._added: list[EtcdMember] = []
        self.members = [EtcdMember(f"m{number}", self.directory, free_port(), free_port()) for number in range(size)]
        scheme = "https" if tls else "http"
        initial = ",".join(f"{m.name}=http://{HOST}:{m.peer_port}" for m in self.members)
        for m in self.members:
            m.arguments = [
                f"--name={m.name}",
                f"--data-dir={self.directory / m.name}",
                f"--listen-client-urls={scheme}://{m.endpoint}",
                f"--advertise-client-urls={scheme}://{m.endpoint}",
                f"--listen-peer-urls=http://{HOST}:{m.peer_port}",
                f"--initial-advertise-peer-urls=http://{HOST}:{m.peer_port}",
                f"--initial-cluster={initial}",
                f"--initial-cluster-token={self.directory.name}",
                f"--heartbeat-interval={heartbeat_ms}",
                f"--election-timeout={election_ms}",
                *([f"--quota-backend-bytes={quota_bytes}"] if quota_bytes else []),
                *([f"--auth-token={auth_token}"] if auth_token else []),
                *([f"--auth-token-ttl={auth_token_ttl_s}"] if auth_token_ttl_s else []),
                *self._tls_arguments(),
                *arguments,
            ]

    def _tls_arguments(self) -> list[str]:
        if self.certificates is None:
            return []
        return [
            f"--cert-file={self.certificates.server_cert}",
            f"--key-file={self.certificates.server_key}",
            f"--trusted-ca-file={self.certificates.ca}",
            "--client-cert-auth=true",
        ]

    @property
    def endpoints(self) -> list[str]:
        """Host and port of every member, for clients."""
        return [m.endpoint for m in self.members]

    def start(self) -> Self:
        """Start all members and wait until each of them answers linearizable reads."""
        for m in self.members:
            m.start()
        self.wait_ready()
        return self

    def wait_ready(self, member: EtcdMember | None = None) -> None:
        """Wait until the member (default: every one that runs) answers linearizable reads."""
        deadline = time.monotonic() + START_TIMEOUT_S
        for m in [member] if member else [m for m in self.members if m.process is not None]:
            while not self._answers(m):
                if m.process is None or m.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"etcd {m.name} does not answer:\n{m.log()[-2000:]}")
                time.sleep(0.05)

    def _answers(self, member: EtcdMember) -> bool:
        try:
            with socket.create_connection((HOST, member.client_port), timeout=1.0):
                pass
            self.ctl("get", "-", endpoints=[member.endpoint])
        except (OSError, subprocess.SubprocessError):
            return False
        return True

    def ctl(self, *arguments: str, endpoints: Sequence[str] | None = None) -> str:
        """Run etcdctl on the members that run (or on `endpoints`); its output. Raises CalledProcessError."""
        if endpoints is None:
            endpoints = [m.endpoint for m in self.members if m.process is not None]
        command = [etcdctl_binary(), f"--endpoints={','.join(endpoints)}", "--command-timeout=5s"]
        if self.certificates is not None:
            command += [
                f"--cacert={self.certificates.ca}",
                f"--cert={self.certificates.client_cert}",
                f"--key={self.certificates.client_key}",
            ]
        if self.user is not None:
            command.append(f"--user={':'.join(self.user)}")
        environment = os.environ | {"ETCDCTL_API": "3"}
        done = subprocess.run(
            [*command, *arguments], check=True, capture_output=True, timeout=CALL_TIMEOUT_S, env=environment
        )
        return done.stdout.decode()

    def added(self, name: str, *, learner: bool = False) -> EtcdMember:
        """A new member of a cluster that runs; not started, and ended with the others."""
        first, member = self.members[0], EtcdMember(name, self.directory, free_port(), free_port())
        url = f"http://{HOST}:{member.peer_port}"
        self.ctl("member", "add", name, *(["--learner"] if learner else []), f"--peer-urls={url}")
        for argument in first.arguments:
            flag, _, value = argument.partition("=")
            value = f"{value},{name}={url}" if flag == "--initial-cluster" else value
            for own, its in ((first.name, name), (first.endpoint, member.endpoint)):
                value = (
                    value.replace(own, its) if flag not in ("--initial-cluster", "--initial-cluster-token") else value
                )
            if flag in ("--listen-peer-urls", "--initial-advertise-peer-urls"):
                value = url
            member.arguments.append(f"{flag}={value}")
        member.arguments.append("--initial-cluster-state=existing")
        self._added.append(member)
        return member

    def enable_auth(self, user: str = "root", password: str = "secret") -> None:
        """Make `user` with the role of the same name and switch authentication on."""
        self.ctl("user", "add", f"{user}:{password}")
        self.ctl("role", "add", user)
        self.ctl("user", "grant-role", user, user)
        self.ctl("auth", "enable")
        self.user = (user, password)

    def enable_certificate_auth(self) -> None:
        """Users by the names of their certificates, and authentication on; from now on `ctl` is etcd's `root`."""
        assert self.certificates is not None
        cert, key = client_certificate(self.certificates.ca.parent, "root", "root")
        self.certificates = replace(self.certificates, client_cert=cert, client_key=key)
        self.ctl("user", "add", "root", "--no-password")
        self.ctl("role", "add", "root")
        self.ctl("user", "grant-role", "root", "root")
        self.ctl("auth", "enable")

    def compact(self, revision: int) -> None:
        """Forget the history before `revision`, on every member when this returns."""
        self.ctl("compact", "--physical", str(revision))

    def leader(self) -> EtcdMember:
        """The member that leads, by its own word; waits for one."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            for m in self.members:
                if m.process is None:
                    continue
                try:
                    answer = self.ctl("endpoint", "status", "-w", "json", endpoints=[m.endpoint])
                except subprocess.SubprocessError:
                    continue
                status = json.loads(answer)[0]["Status"]
                if status.get("leader") == status["header"]["member_id"]:
                    return m
            time.sleep(0.05)
        raise RuntimeError("no member leads")

    def close(self) -> None:
        """End every member and remove all files. Idempotent."""
        for m in (*self.members, *self._added):
            m.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def as_debian_sets_it_up(directory: Path, number: int) -> EtcdMember:
    """An etcd as Debian's package starts it on each machine: all have the same numbers of cluster and member."""
    member = EtcdMember(f"n{number}", directory, free_port(), free_port())
    member.arguments = [
        f"--name={member.name}", f"--data-dir={directory / member.name}",
        f"--listen-client-urls=http://{member.endpoint}", f"--advertise-client-urls=http://{member.endpoint}",
        f"--listen-peer-urls=http://127.0.0.1:{member.peer_port}",
        "--initial-advertise-peer-urls=http://localhost:2380", f"--initial-cluster={member.name}=http://localhost:2380",
    ]  # fmt: skip
    return member


@contextmanager
def frozen(member: EtcdMember) -> Iterator[None]:
    """A member that stands still inside the block."""
    member.freeze()
    try:
        yield
    finally:
        member.thaw()
