"""An application: answers every HTTP request with the machine's name. Usage: answer.py ADDRESS PORT."""

import asyncio
import json
import socket
import sys

BODY = json.dumps({"node": socket.gethostname()}) + "\n"
ANSWER = f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\nConnection: close\r\n\r\n{BODY}".encode()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main() -> None:
    async with await asyncio.start_server(serve, sys.argv[1], int(sys.argv[2]), backlog=512) as server:
        await server.serve_forever()


asyncio.run(main())
