"""Whether a MariaDB is in sync with its Galera cluster, like the script of this name that is common beside Galera.

`clustercheck.py DIRECTORY` ends with 0 if the one of $HACTL_NODE is; `clustercheck.py DIRECTORY NODE ADDRESS PORT` says
so by HTTP: 200, or 503.
"""

from __future__ import annotations

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SYNCED = "4"


def in_sync(directory: str, node: str) -> bool:
    asked = [
        "mariadb",
        "--no-defaults",
        "-S",
        f"{directory}/{node}.sock",
        "-Nse",
        "SHOW STATUS LIKE 'wsrep_local_state'",
    ]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=2, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.stdout.split()[-1:] == [SYNCED]


def serve(directory: str, node: str, address: str, port: int) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if in_sync(directory, node) else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    ThreadingHTTPServer((address, port), Answer).serve_forever()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        serve(*sys.argv[1:4], int(sys.argv[4]))
    sys.exit(0 if in_sync(sys.argv[1], os.environ["HACTL_NODE"]) else 1)
