"""The token of a user who logged in with a password, and a new one when it ends.

A login costs the server a tenth of a second (bcrypt), which is longer than a renewal may take. So it runs on a
thread with a deadline of its own: a call waits for it as long as it may, and the next call finds the token.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from election.etcd.errors import NotSentError
from election.store import StoreRefusedError

LOGIN_TIMEOUT_S = 5.0


class Token:
    """The token in use, shared by all endpoints: etcd's simple tokens are known to all members, as is every
    JWT. None: not logged in, or authentication is off."""

    def __init__(self) -> None:
        self.value: str | None = None
        self._lock = threading.Lock()
        self._pending: dict[str, Future[str | None]] = {}

    def renew(self, stale: str | None, endpoint: str, login: Callable[[float], str | None], wait_s: float) -> None:
        """Replace the token unless that was done since `stale`. One login at a time at an endpoint.

        `login` takes a deadline in seconds and returns the token. Raises what it raises, and NotSentError when
        it takes longer than `wait_s`.
        """
        with self._lock:
            if self.value != stale:
                return
            pending = self._pending.get(endpoint)
            if pending is None:
                pending = self._pending[endpoint] = Future()
                threading.Thread(
                    target=self._run, args=(endpoint, login, pending), name="etcd-login", daemon=True
                ).start()
        try:
            pending.result(timeout=wait_s)
        except TimeoutError:
            raise NotSentError(f"{endpoint}: the login takes longer than this call may") from None

    def _run(self, endpoint: str, login: Callable[[float], str | None], pending: Future[str | None]) -> None:
        try:
            token = login(LOGIN_TIMEOUT_S)
        except StoreRefusedError as error:
            self._done(endpoint)
            pending.set_exception(error)
        except Exception as error:
            self._done(endpoint)
            # Whatever became of the login: the request it was for was refused.
            pending.set_exception(NotSentError(f"{endpoint}: login failed: {error}"))
        else:
            self.value = token
            self._done(endpoint)
            pending.set_result(token)

    def _done(self, endpoint: str) -> None:
        with self._lock:
            del self._pending[endpoint]
