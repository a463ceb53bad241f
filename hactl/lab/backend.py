"""An active/active API of the lab's: `python -m hactl.lab.backend NODE ADDRESS PORT`."""

from __future__ import annotations

import asyncio
import sys

from hactl.lab.responder import serve


async def _main(node: str, address: str, port: int) -> None:
    async with await serve(address, port, {"node": node, "port": port}) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
