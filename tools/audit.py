"""`make audit`: known holes in the libraries of requirements.lock, by pip-audit, where its data can be had.

Exit status 1 when a library has a known hole. Where nothing can be looked up (no network, an index without such data)
it says so, and is no failure: the check is for those who have the data.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

TIMEOUT_S = 60.0
LOCK = "requirements.lock"


def look_up() -> dict[str, Any]:
    """pip-audit's report. Raises OSError, ValueError or subprocess.TimeoutExpired where there is none."""
    options = ["--disable-pip", "--require-hashes", "-r", LOCK, "-f", "json", "--progress-spinner", "off"]
    argv = [sys.executable, "-m", "pip_audit", *options]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def judge(report: dict[str, Any]) -> tuple[list[str], int]:
    """Lines to print, and the exit status."""
    libraries = report["dependencies"]
    audited = [library for library in libraries if "vulns" in library]
    holes = [
        f"{library['name']} {library['version']}: {hole['id']}, fixed in "
        f"{', '.join(hole['fix_versions']) or 'no version yet'}"
        for library in audited
        for hole in library["vulns"]
    ]
    if holes:
        return [*holes, f"{LOCK}: {len(holes)} known holes: raise the versions in pyproject.toml, then `make lock`"], 1
    if not audited:
        return ["not audited: no data about known holes can be had here"], 0
    return [f"{len(audited)} of {len(libraries)} libraries audited: no known hole"], 0


def main() -> int:
    """Entry point."""
    try:
        lines, status = judge(look_up())
    except (OSError, ValueError, KeyError, TypeError, subprocess.TimeoutExpired) as error:
        lines, status = [f"not audited: {type(error).__name__}: no data about known holes can be had here"], 0
    for line in lines:
        sys.stdout.write(f"audit: {line}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
