"""`make bench-failover`: how long a client waits when something fails or is moved.

`python -m bench.failover [--runs N] [--only WORD…] [--json FILE]`. Exit status: 0 no run violated anything and all
came to their end (a figure that is missed is said, and no more), 1 one did not, 2 it cannot be done here.
"""

from __future__ import annotations

import sys

from bench.runner import command
from bench.scenarios import scenarios

if __name__ == "__main__":
    sys.exit(command("make bench-failover", "how long a client waits", scenarios()))
