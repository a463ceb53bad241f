"""The endpoints of an etcd cluster: which one to ask, when to go on to the next, and when never to.

Calls stick to one endpoint while it answers. A deadline is for a whole call, whatever it tries.

- A read may be repeated: every endpoint gets its share of the time left.
- A write goes to an endpoint that has just answered (else it is first asked for a linearizable read, which
  proves connection, leader and token) and then has all the time left. Once it may have been sent it is never sent
  again, for the first one may yet be carried out: the caller resolves that by reading (docs/protocol.md, *Session*
  2).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import grpc

from election.etcd.auth import Token
from election.etcd.codec import Services
from election.etcd.errors import NotSentError, TokenError, translate
from election.etcd.tls import TlsFiles
from election.store import CompactedError, StoreError, StoreRefusedError, StoreTimeoutError, StoreUnavailableError

# For so long after its last good answer an endpoint is given writes without a question first.
TRUSTED_S = 5.0
# Between two rounds over all endpoints when each has failed at once.
ROUND_PAUSE_S = 0.02

# A member that knows of no leader refuses at once, and ends its watches (etcd, api/v3rpc/interceptor.go).
REQUIRE_LEADER = ("hasleader", "true")


class Client(Protocol):
    """The part of python-etcd3's client that is used."""

    channel: Any

    def close(self) -> None:
        """Close the channel."""


class Endpoint:
    """One endpoint: its client, the services that are used all the time, and whether it answered lately."""

    def __init__(
        self,
        name: str,
        connect: Callable[[], Client],
        token: Token,
        login: Callable[[Client, float], str | None] | None,
        tls: TlsFiles | None = None,
    ) -> None:
        self.name = name
        self._connect, self._tls = connect, tls
        self._made_with = tls.mark() if tls else ()
        self.client = connect()
        self.services = Services(self.client.channel)
        self._token = token
        self._login = login
        self._trusted_until = 0.0
        self._renewing = threading.Lock()

    @property
    def trusted(self) -> bool:
        """Whether it answered lately and has not failed since."""
        return time.monotonic() < self._trusted_until

    def call(self, method: Method, request: Any, timeout_s: float) -> Any:
        """Send a request, logging in when the server asks for it. Raises the errors of `translate`."""
        deadline = time.monotonic() + timeout_s
        token = self._token.value
        try:
            return self._send(method, request, timeout_s, token)
        except TokenError:
            if self._login is None:
                raise
        # It was refused, so it may be sent again.
        self.log_in(token, deadline - time.monotonic())
        left = deadline - time.monotonic()
        if left <= 0:
            raise NotSentError(f"{self.name}: no time left after the login")
        return self._send(method, request, left, self._token.value)

    def log_in(self, stale: str | None, wait_s: float) -> None:
        """Get a new token unless that was done since `stale`; waits for it at most `wait_s`."""
        if self._login is not None:
            self._token.renew(stale, self.name, self._do_login, wait_s)

    def _do_login(self, timeout_s: float) -> str | None:
        assert self._login is not None
        try:
            return self._login(self.client, timeout_s)
        except grpc.RpcError as error:
            raise translate(error, self.name) from None

    def _send(self, method: Method, request: Any, timeout_s: float, token: str | None) -> Any:
        try:
            answer = method(self)(request, timeout_s, metadata=_metadata(token))
        except grpc.RpcError as error:
            problem = translate(error, self.name)
            if isinstance(problem, NotSentError) or not isinstance(problem, StoreRefusedError):
                self._trusted_until = 0.0
            raise self._explain(problem) from None
        except ValueError as error:  # gRPC's word for a closed channel
            raise NotSentError(f"{self.name}: {error}") from None
        self._trusted_until = time.monotonic() + TRUSTED_S
        return answer

    def _explain(self, problem: StoreError) -> StoreError:
        """After a call that failed: take over renewed certificates, or say what is wrong with them."""
        if self._tls is None or not isinstance(problem, StoreUnavailableError):
            return problem
        self._take_over_renewed(self._tls)
        if wrong := next(self._tls.problems(), ""):
            return type(problem)(f"{problem}; {wrong}")
        return problem

    def _take_over_renewed(self, tls: TlsFiles) -> None:
        """A new channel, where the files are others than those of this one. What is under way on the old one fails."""
        with self._renewing:
            mark = tls.mark()
            if mark == self._made_with or next(tls.damage(), ""):
                return  # half written, or garbage: what this channel was made with may still hold
            try:
                renewed = self._connect()
            except (OSError, ValueError):
                return  # looked at again after the next failure
            self._made_with, old = mark, self.client
            self.client, self.services = renewed, Services(renewed.channel)
        old.close()

    def token_metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata that shows who asks, for a call beside those of this."""
        token = self._token.value
        return () if token is None else (("token", token),)

    def open_watch(self, request: bytes) -> tuple[Any, str | None]:
        """A watch stream and the token it was opened with."""
        token = self._token.value
        try:
            return self.services.watch(request, metadata=_metadata(token)), token
        except ValueError as error:
            raise StoreUnavailableError(f"{self.name}: {error}") from None


# Picks the call to make.
Method = Callable[[Endpoint], Any]


def _metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    return (REQUIRE_LEADER,) if token is None else (REQUIRE_LEADER, ("token", token))


class Endpoints:
    """All endpoints, and the one in use. Thread-safe."""

    def __init__(self, endpoints: Sequence[Endpoint], probe_request: Any) -> None:
        self._all = tuple(endpoints)
        self._probe_request = probe_request
        self._current = 0
        self.closed = threading.Event()

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, index: int) -> Endpoint:
        return self._all[index % len(self._all)]

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._all)

    @property
    def current(self) -> int:
        """The index of the endpoint in use."""
        return self._current

    def read(
        self, method: Method, request: Any, timeout_s: float, *, start: int | None = None, stick: bool = True
    ) -> tuple[Any, int]:
        """Answer to a request that may be repeated, and the index of the endpoint that gave it. Asks `start`
        (default: the endpoint in use) first; the one that answers is in use from then on, if `stick`."""

        def attempt(endpoint: Endpoint, share_s: float, _deadline: float) -> Any:
            return endpoint.call(method, request, share_s)

        answer, index = self._go_through(attempt, timeout_s, start, repeatable=True)
        if stick:
            self._current = index
        return answer, index

    def write(self, method: Method, request: Any, timeout_s: float) -> Any:
        """Answer to a request that must not be repeated once it may have been sent."""

        def attempt(endpoint: Endpoint, share_s: float, deadline: float) -> Any:
            if not endpoint.trusted:
                self._probe(endpoint, share_s)
            left = deadline - time.monotonic()
            if left <= 0:
                raise NotSentError(f"{endpoint.name}: no time left after the first question")
            return endpoint.call(method, request, left)

        answer, self._current = self._go_through(attempt, timeout_s, None, repeatable=False)
        return answer

    def _probe(self, endpoint: Endpoint, timeout_s: float) -> None:
        try:
            endpoint.call(lambda endpoint: endpoint.services.range, self._probe_request, timeout_s)
        except NotSentError:
            raise
        except StoreRefusedError:
            pass  # It answered: that is what was asked.
        except StoreError as error:
            raise NotSentError(str(error)) from None

    def _go_through(
        self, attempt: Callable[[Endpoint, float, float], Any], timeout_s: float, start: int | None, *, repeatable: bool
    ) -> tuple[Any, int]:
        deadline = time.monotonic() + timeout_s
        index = self._current if start is None else start % len(self._all)
        problem: StoreError = StoreTimeoutError("no time was given")
        tried = 0
        while (left := deadline - time.monotonic()) > 0:
            if self.closed.is_set():
                raise StoreUnavailableError("the store is closed")
            share_s = left / (len(self._all) - tried % len(self._all))
            try:
                answer = attempt(self._all[index], share_s, deadline)
            except NotSentError as error:
                problem = error
            except (StoreRefusedError, CompactedError):
                raise  # It would be the same elsewhere.
            except StoreError as error:
                if not repeatable:
                    self._current = self._after(index)  # for the next call
                    raise
                problem = error
            else:
                return answer, index
            index = self._after(index)
            tried += 1
            if tried % len(self._all) == 0:
                self.closed.wait(max(0.0, min(ROUND_PAUSE_S, deadline - time.monotonic())))
        if start is None:
            self._current = index
        raise problem

    def _after(self, index: int) -> int:
        return (index + 1) % len(self._all)

    def close(self) -> None:
        """Close all connections. Idempotent."""
        self.closed.set()
        for endpoint in self._all:
            endpoint.client.close()
