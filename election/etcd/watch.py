"""A watch that outlives broken connections, lost leaders and changes of endpoint.

python-etcd3's own watcher drops its callbacks at the first error, has no way to ask that the member have a leader,
and does not hand over the header's revision; so this reads the watch stream itself, on a thread of its own.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import grpc
import structlog

from election.etcd.codec import WatchAnswer, probe_request, watch_batch, watch_request
from election.etcd.endpoints import Endpoint, Endpoints
from election.etcd.errors import NotSentError, refusal, translate
from election.store import (
    CompactedError,
    StoreAuthError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
    WatchBatch,
    WatchClosed,
)

log = structlog.get_logger(__name__)

# How long one round over all endpoints may look for one that answers.
FIND_TIMEOUT_S = 2.0
# Before the next try after a failure.
RETRY_PAUSE_S = 0.05


class WentBackError(StoreError):
    """The store has gone back to an earlier state (wiped or restored), so its revisions are being given again:
    those after the last one delivered are not all that follows."""


class EtcdWatch:
    """A running watch of a prefix."""

    def __init__(
        self,
        endpoints: Endpoints,
        prefix: str,
        start_revision: int,
        deliver: Callable[[WatchBatch | WatchClosed], None],
        first_endpoint: int,
    ) -> None:
        self.endpoint = first_endpoint
        self._endpoints = endpoints
        self._prefix = prefix
        self._last = start_revision - 1  # delivered, or known to the caller
        self._deliver = deliver
        self._delivering = threading.RLock()  # re-entrant: `deliver` may cancel
        self._cancelled = threading.Event()
        self._stream: Any = None
        self._denied = False
        self._thread = threading.Thread(target=self._run, name="etcd-watch", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether its thread has not ended."""
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the thread, unless it is this very one."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def cancel(self) -> None:
        """See `Watch.cancel`. Waits for a delivery under way: not to be called holding what `deliver` waits for."""
        with self._delivering:
            self._cancelled.set()
        stream = self._stream
        if stream is not None:
            stream.cancel()

    def _run(self) -> None:
        closed = WatchClosed(None)
        try:
            while not self._ended():
                try:
                    self._watch_once()
                except StoreError as error:
                    if self._ended():
                        break
                    if self._is_final(error):
                        closed = WatchClosed(error)
                        break
                    log.info("watch_interrupted", prefix=self._prefix, error=str(error))
                    self.endpoint += 1
                    self._cancelled.wait(RETRY_PAUSE_S)
            self._hand_over(closed)
        except Exception as error:  # such as an answer that cannot be read: the watcher has to list again
            log.exception("watch_failed", prefix=self._prefix)
            with contextlib.suppress(Exception):
                self._hand_over(WatchClosed(StoreUnavailableError(f"the watch failed: {error!r}")))

    def _ended(self) -> bool:
        return self._cancelled.is_set() or self._endpoints.closed.is_set()

    def _is_final(self, error: StoreError) -> bool:
        """Whether it would be no better next time."""
        return isinstance(error, (StoreRefusedError, CompactedError, WentBackError)) and not isinstance(
            error, NotSentError
        )

    def _watch_once(self) -> None:
        """Watch on one endpoint until that fails, which raises StoreError, or the watch has ended."""
        endpoint = self._find()
        # It asks for the last known revision once more: etcd answers a watch from exactly the compacted revision, but
        # without the deletions made there (tried on 3.4). Asked from one revision earlier it says that it is compacted.
        stream, token = endpoint.open_watch(watch_request(self._prefix, max(1, self._last)))
        self._stream = stream
        try:
            if self._ended():  # just before there was a stream to cancel
                return
            for response in stream:
                if response.canceled:
                    self._refused(response, endpoint, token)
                self._take(response)
            raise StoreUnavailableError(f"{endpoint.name}: the watch stream ended")
        except grpc.RpcError as error:
            if not self._ended():
                raise translate(error, endpoint.name) from None
        finally:
            self._stream = None
            stream.cancel()

    def _find(self) -> Endpoint:
        """An endpoint that has just answered a linearizable read of the prefix: it is there, has a leader, and
        the token is good. An endpoint that accepts a stream and never answers would hold the watch up."""
        answer, self.endpoint = self._endpoints.read(
            lambda endpoint: endpoint.services.range,
            probe_request(self._prefix),
            FIND_TIMEOUT_S,
            start=self.endpoint,
            stick=False,
        )
        if answer.revision < self._last:
            raise WentBackError(f"the store went back from revision {self._last} to {answer.revision}")
        return self._endpoints[self.endpoint]

    def _refused(self, response: WatchAnswer, endpoint: Endpoint, token: str | None) -> None:
        """The server ended the watch: raises the reason."""
        if response.compact_revision:
            raise CompactedError(response.compact_revision)
        reason = response.cancel_reason or "the server ended the watch"
        problem = refusal(reason, f"{endpoint.name}: {reason}")
        if isinstance(problem, StoreAuthError) and not self._denied:
            # etcd 3.4 says "permission denied" of a token it does not know, too: try once with a new one.
            self._denied = True
            endpoint.log_in(token, FIND_TIMEOUT_S)
            raise StoreUnavailableError(str(problem))
        if isinstance(problem, StoreAuthError) or reason.startswith("etcdserver: "):
            raise problem
        raise StoreUnavailableError(str(problem))

    def _take(self, response: WatchAnswer) -> None:
        if response.created:
            self._denied = False
            return
        batch = watch_batch(response, self._last)
        self._last = batch.revision
        if batch.changes or not response.changes:
            self._hand_over(batch)

    def _hand_over(self, delivery: WatchBatch | WatchClosed) -> None:
        with self._delivering:
            if not self._cancelled.is_set():
                self._deliver(delivery)
