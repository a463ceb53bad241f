"""The numbers of groups and the names of users. A name service answers (NSS: files, sssd, LDAP), which may hang for
minutes: it is asked on a thread of its own that nobody has to wait for, neither the loop nor the end of the process.
"""

from __future__ import annotations

import asyncio
import grp
import pwd
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

# For so long an answer is waited for.
WAIT_S = 1.0
# So many names of users are remembered.
_REMEMBERED = 256


class Names:
    """Asks the name service; each question once at a time, however many wait for its answer."""

    def __init__(self) -> None:
        self._queries: dict[Hashable, Future[Any]] = {}
        self._users: OrderedDict[int, str] = OrderedDict()

    async def group_id(self, group: str, wait_s: float | None = WAIT_S) -> int | None:
        """The number of a group; None: there is no such group. Raises TimeoutError when that is not known in time."""
        gid: int | None = await self._ask(("group", group), lambda: _group_id(group), wait_s)
        return gid

    async def user_name(self, uid: int) -> str:
        """A user's name; its number where it has none, or nobody says so in time."""
        if uid not in self._users:
            try:
                self._users[uid] = await self._ask(("user", uid), lambda: pwd.getpwuid(uid).pw_name, WAIT_S)
            except (KeyError, OSError):  # TimeoutError is one
                return f"uid {uid}"
            while len(self._users) > _REMEMBERED:
                self._users.popitem(last=False)
        return self._users[uid]

    async def _ask(self, key: Hashable, question: Callable[[], Any], wait_s: float | None) -> Any:
        query = self._queries.get(key)
        if query is None:
            query = self._queries[key] = Future()
            begun = threading.Thread(target=self._answer, args=(key, question, query), name="names", daemon=True)
            try:
                begun.start()
            except RuntimeError:  # no thread can be had
                del self._queries[key]
                raise TimeoutError from None
        async with asyncio.timeout(wait_s):
            return await asyncio.shield(asyncio.wrap_future(query))

    def _answer(self, key: Hashable, question: Callable[[], Any], query: Future[Any]) -> None:
        try:
            answer = question()
        except Exception as error:  # any error is the answer
            del self._queries[key]
            query.set_exception(error)
        else:
            del self._queries[key]
            query.set_result(answer)


def _group_id(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid if group else None
    except KeyError:
        return None


NAMES = Names()
