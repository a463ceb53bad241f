"""`python -m hactl.daemon [--config NODE_TOML]`: `hactl daemon` without the rest of the command line, which would cost
6 MB for as long as it runs and 0.1 s at its start. This is what the service's unit starts."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from hactl.config.errors import ConfigErrors
from hactl.config.node import DEFAULT_PATH, load_node
from hactl.daemon.main import run


def main() -> int:
    """Entry point; the exit status."""
    parser = argparse.ArgumentParser(prog="hactl daemon", description="this node's daemon, in the foreground")
    default = Path(os.environ.get("HACTL_CONFIG") or DEFAULT_PATH)
    parser.add_argument("--config", type=Path, default=default, metavar="NODE_TOML", help="this node's settings")
    parser.add_argument("--check", action="store_true", help="read the settings, and end; status 2 if they are wrong")
    options = parser.parse_args()
    return check(options.config) if options.check else run(options.config)


def check(path: Path) -> int:
    """Whether a daemon of this version can use the settings; the exit status. The package asks before it restarts the
    daemon that runs."""
    try:
        load_node(path)
    except ConfigErrors as error:
        sys.stderr.write(f"hactl daemon: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
