"""`Store` on etcd v3, by python-etcd3: the only module that imports it.

python-etcd3 knows one endpoint a client, no deadline by default, one token without renewal, and a watcher that ends at
the first error. The modules beside this one make up for that: the choice of an endpoint (`endpoints`), tokens
(`auth`), watches (`watch`), the messages of every heartbeat (`codec`), errors (`errors`).
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc.experimental

from election.etcd.auth import Token
from election.etcd.codec import get_request, snapshot_request, txn_request, txn_result
from election.etcd.endpoints import Client, Endpoint, Endpoints
from election.etcd.facts import EndpointFacts
from election.etcd.health import look
from election.etcd.tls import TlsFiles
from election.etcd.watch import EtcdWatch
from election.store import KeyValue, Snapshot, StoreUnavailableError, Txn, TxnResult, WatchBatch, WatchClosed


def _import_etcd3() -> Any:
    """Import python-etcd3, whose generated code current protobuf takes only in its Python implementation. The
    setting is read once, at the first import, and not left behind for child processes."""
    name = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"
    before = os.environ.get(name)
    os.environ[name] = "python"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # protobuf's, of the same generated code
            import etcd3  # noqa: PLC0415
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
    return etcd3


etcd3 = _import_etcd3()

# The largest answer that is taken: a hundred times what a large cluster has below its prefix. A larger one is refused,
# and said, before it could fill the memory of every node.
LARGEST_ANSWER = 128 << 20

# gRPC core, grpc_types.h. Attempts have deadlines of 50 to 125 ms, so a lost connection is to be tried again soon.
# etcd ends connections that ping more often than every 5 s (--grpc-keepalive-min-time).
_CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 250),
    ("grpc.min_reconnect_backoff_ms", 1000),  # how long one attempt to connect may take
    ("grpc.keepalive_time_ms", 6000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.ping_timeout_ms", 2000),  # without it gRPC 1.85 waits a minute, whatever the line above says
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", LARGEST_ANSWER),
    ("grpc.enable_http_proxy", 0),
    ("grpc.http2.bdp_probe", 0),  # it measures what a connection can carry by a ping for each answer; ours are small
    ("grpc.use_local_subchannel_pool", 1),
    # A watch is read by the thread that iterates over it. Else each answer goes through a thread of gRPC's first.
    (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, True),
)

CLOSE_TIMEOUT_S = 1.0


class EtcdStore:
    """See `Store`. Connects when first used; a cluster that is away is an error of the calls, not of this.

    `endpoints`: `host:port`, with `https://` or `http://` before it or not; gone through in this order.
    `ca`, `cert`, `key`: PEM files; with `ca` TLS is used, with `cert` and `key` this side shows a certificate.
    `user`, `password`: for etcd's authentication; it may also be switched on later. A password that can be called is
    asked for at each login: it may be another by then. `name` is for log lines and messages. Raises ValueError when
    these do not fit together, OSError when a file cannot be read.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        key: str | Path | None = None,
        user: str | None = None,
        password: str | Callable[[], str] | None = None,
        name: str = "etcd",
    ) -> None:
        if not endpoints:
            raise ValueError("no endpoints")
        if (user is None) != (password is None):
            raise ValueError("user and password are to be given together")
        if (cert is None) != (key is None) or (cert is not None and ca is None):
            raise ValueError("a client certificate needs `ca`, `cert` and `key`")
        self.name = name
        token = Token()
        login = None if user is None or password is None else _login_as(user, password)
        files = TlsFiles(str(ca or ""), str(cert or ""), str(key or ""))
        self._endpoints = Endpoints([_endpoint(text, token, login, files) for text in endpoints], get_request("\0"))
        self._lock = threading.Lock()
        self._watches: set[EtcdWatch] = set()
        self._watched_on = 0

    def get(self, key: str, *, timeout_s: float) -> tuple[KeyValue | None, int]:
        """See `Store.get`."""
        answer, _ = self._endpoints.read(_range, get_request(key), timeout_s)
        return (answer.items[0] if answer.items else None), answer.revision

    def snapshot(self, prefix: str, *, timeout_s: float, another_endpoint: bool = False) -> Snapshot:
        """See `Store.snapshot`."""
        start = self._endpoints.current + 1 if another_endpoint else None
        answer, _ = self._endpoints.read(_range, snapshot_request(prefix), timeout_s, start=start)
        return Snapshot(answer.revision, answer.items)

    def txn(self, txn: Txn, *, timeout_s: float) -> TxnResult:
        """See `Store.txn`."""
        return txn_result(txn, self._endpoints.write(_txn, txn_request(txn), timeout_s))

    def watch(
        self,
        prefix: str,
        start_revision: int,
        deliver: Callable[[WatchBatch | WatchClosed], None],
        *,
        another_endpoint: bool = False,
    ) -> EtcdWatch:
        """See `Store.watch`. Also ends, with StoreRefusedError, when the prefix may not be read, and with
        StoreError when the store has gone back to a revision before `start_revision` - 1."""
        with self._lock:
            if self._endpoints.closed.is_set():
                raise StoreUnavailableError(f"{self.name}: the store is closed")
            first = self._watched_on + 1 if another_endpoint else self._endpoints.current
            self._watched_on = first
            watch = EtcdWatch(self._endpoints, prefix, start_revision, deliver, first)
            self._watches = {old for old in self._watches if old.running} | {watch}
            watch.start()
        return watch

    def look(self, timeout_s: float) -> tuple[EndpointFacts, ...]:
        """The facts that every endpoint states, in their order; one that does not answer is no error of the call. It
        has no effect on which of them is used."""
        return look(self._endpoints, get_request("\0"), timeout_s)

    def close(self) -> None:
        """See `Store.close`. Watches end with WatchClosed(None)."""
        with self._lock:
            self._endpoints.close()
            watches = list(self._watches)
            self._watches.clear()
        for watch in watches:
            watch.join(CLOSE_TIMEOUT_S)


def _range(endpoint: Endpoint) -> Any:
    return endpoint.services.range


def _txn(endpoint: Endpoint) -> Any:
    return endpoint.services.txn


def _login_as(user: str, password: str | Callable[[], str]) -> Callable[[Client, float], str | None]:
    def login(client: Client, timeout_s: float) -> str | None:
        secret = password if isinstance(password, str) else password()
        request = etcd3.etcdrpc.AuthenticateRequest(name=user, password=secret)
        token: str = etcd3.etcdrpc.AuthStub(client.channel).Authenticate(request, timeout_s).token
        return token

    return login


def _endpoint(
    text: str, token: Token, login: Callable[[Client, float], str | None] | None, files: TlsFiles
) -> Endpoint:
    scheme, _, address = text.rpartition("://")
    host, _, port = address.rpartition(":")
    if scheme not in ("", "http", "https") or not host or not port.isdigit():
        raise ValueError(f"not an endpoint: {text!r} (like https://10.0.0.1:2379)")
    if scheme == "https" and not files.ca:
        raise ValueError(f"{text}: https needs `ca`")
    if scheme == "http" and files.ca:
        raise ValueError(f"{text}: `ca` is given, but the endpoint is http")

    def connect() -> Client:
        client: Client = etcd3.Etcd3Client(
            host,
            int(port),
            ca_cert=files.ca or None,
            cert_cert=files.cert or None,
            cert_key=files.key or None,
            grpc_options=_CHANNEL_OPTIONS,
        )
        return client

    return Endpoint(address, connect, token, login, files if files.ca else None)
