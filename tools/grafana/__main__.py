"""`python -m tools.grafana` writes the dashboard, `--check` compares."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.docs.pages import page_parser, write_or_check
from tools.grafana.dashboard import text
from tools.grafana.rows import ROWS

FILE = Path("deploy/grafana/hactl.json")


def main(argv: list[str] | None = None) -> int:
    """Write or check; the exit status says whether the file was up to date with `--check`."""
    return write_or_check(FILE, text(ROWS), check=page_parser("tools.grafana").parse_args(argv).check)


if __name__ == "__main__":
    sys.exit(main())
