"""A name service that hangs (sssd, LDAP) holds nobody up: not the loop, not who serves, not who asks."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from hactl.serving import names
from hactl.serving.names import Names

DEADLINE_S = 10.0


class NameService:
    """Answers once it is let."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked = 0

    def __call__(self, _: Any) -> Any:
        self.asked += 1
        assert self.answers.wait(DEADLINE_S)
        return SimpleNamespace(gr_gid=os.getgid(), pw_name="anna")


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameService]:
    service = NameService()
    monkeypatch.setattr(grp, "getgrnam", service)
    monkeypatch.setattr(pwd, "getpwuid", service)
    monkeypatch.setattr(names, "WAIT_S", 0.01)
    monkeypatch.setattr(Names.group_id, "__defaults__", (0.01,))
    yield service
    service.answers.set()


def test_whose_name_is_not_known_in_time_is_a_number(hanging: NameService) -> None:
    async def main() -> None:
        known = Names()
        async with asyncio.timeout(DEADLINE_S):
            assert await asyncio.gather(*(known.user_name(4711) for _ in range(20))) == ["uid 4711"] * 20
            assert hanging.asked == 1  # one thread, however many want to know
            hanging.answers.set()
            while await known.user_name(4711) != "anna":
                pass

    asyncio.run(main())


def test_no_such_group_and_no_such_user() -> None:
    async def main() -> None:
        assert await Names().group_id("no-such-group-here") is None
        assert await Names().user_name(123_456_789) == "uid 123456789"

    asyncio.run(main())
