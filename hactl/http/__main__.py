"""`python -m hactl.http [--config NODE_TOML]`: serve this node's metrics and health at `metrics_listen`, as the unit
hactl-http.service does."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from fencing.linux.clock import now
from hactl.config.errors import ConfigErrors
from hactl.config.node import DEFAULT_PATH, NodeConfig, load_node
from hactl.http.listeners import Listeners, addresses
from hactl.http.pages import Pages
from hactl.http.source import DaemonSource
from hactl.serving.http import http_gate
from hactl.serving.limits import Limits

log = logging.getLogger("hactl-http")

# While no client asks, the daemon is asked for its node's address so often: until it is known, and afterwards.
LEARN_S, FOLLOW_S = 2.0, 30.0


async def serve(config: NodeConfig) -> None:
    """Until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    source = DaemonSource(config.publish_socket, now)
    pages = Pages(source)
    pages.gate = http_gate(pages, Limits(), lambda problem: log.error("cannot accept: %s", problem))
    listeners = Listeners(pages.gate)
    following = asyncio.create_task(_follow_address(config.metrics_listen, source, listeners))
    await ended.wait()
    following.cancel()
    await listeners.close()


async def _follow_address(listen: str, source: DaemonSource, listeners: Listeners) -> None:
    """Listen at the node's address as the daemon said it last."""
    if not listen:
        log.info("metrics_listen is empty: nothing is served")
    address = ""
    while True:
        listeners.listen_at(addresses(listen, address))
        last = (await source.answer()).last
        if last is not None and last.address not in ("", address):
            address = last.address
            continue
        await asyncio.sleep(FOLLOW_S if address else LEARN_S)


def main() -> int:
    """Entry point; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hactl.http", description="serve this node's metrics and health")
    default = Path(os.environ.get("HACTL_CONFIG") or DEFAULT_PATH)
    parser.add_argument("--config", type=Path, default=default, metavar="NODE_TOML", help="this node's settings")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    logging.raiseExceptions = False  # a log that cannot be written is no reason to fail
    try:
        config = load_node(parser.parse_args().config)
    except ConfigErrors as error:
        sys.stderr.write(f"hactl-http: {error}\n")
        return 2
    asyncio.run(serve(config))
    return 0


if __name__ == "__main__":
    sys.exit(main())
