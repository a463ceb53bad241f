"""`python -m hactl.daemon [--config NODE_TOML]`: `hactl daemon` without the rest of the command line, which would cost
6 MB for as long as it runs and 0.1 s at its start. This is what the service's unit starts."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from hactl.config.node import DEFAULT_PATH
from hactl.daemon.main import run


def main() -> int:
    """Entry point; the exit status."""
    parser = argparse.ArgumentParser(prog="hactl daemon", description="this node's daemon, in the foreground")
    default = Path(os.environ.get("HACTL_CONFIG") or DEFAULT_PATH)
    parser.add_argument("--config", type=Path, default=default, metavar="NODE_TOML", help="this node's settings")
    return run(parser.parse_args().config)


if __name__ == "__main__":
    sys.exit(main())
