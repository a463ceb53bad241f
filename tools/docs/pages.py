"""Pages of the documentation that are made from the code: written anew, or compared with it."""

from __future__ import annotations

import argparse
from pathlib import Path


def page_parser(module: str) -> argparse.ArgumentParser:
    """The options of `python -m MODULE`, which makes a page."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 when out of date")
    return parser


def write_or_check(page: Path, text: str, *, check: bool) -> int:
    """Write the page, or (`check`) compare it; the exit status says whether it was up to date with `check`."""
    if check:
        return 0 if page.read_text(encoding="utf-8") == text else 1
    page.write_text(text, encoding="utf-8")
    return 0
