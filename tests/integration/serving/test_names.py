"""A name service that hangs (sssd, LDAP) holds up neither the loop, nor the server, nor a client."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from hactl.serving import sockets
from hactl.serving.gate import Gate
from hactl.serving.limits import Limits
from tests.unit.serving.test_names import DEADLINE_S, NameService, hanging

__all__ = ["hanging"]


def test_a_socket_is_roots_until_the_name_service_answers(tmp_path: Path, hanging: NameService) -> None:
    path, said = tmp_path / "s", []

    async def mode_is(wanted: int) -> None:
        while not path.exists() or stat.S_IMODE(path.stat().st_mode) != wanted:  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.001)

    async def main() -> None:
        gate = Gate(Limits(), lambda *_: pytest.fail("nobody connects"), lambda _: None)
        serving = asyncio.create_task(sockets.serve_at(str(path), "hactl", gate, said.append))
        async with asyncio.timeout(DEADLINE_S):
            await mode_is(0o600)
            hanging.answers.set()
            await mode_is(0o660)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    asyncio.run(main())
    assert said == ["the name service does not answer"] and hanging.asked <= 2  # the second comes late
