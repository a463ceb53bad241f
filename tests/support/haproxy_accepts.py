"""HAProxy's own check of a file; HAPROXY in the environment names another binary."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from hactl.haproxy.control.files import NOTHING_KNOWN, find_haproxy
from hactl.haproxy.settings import HaproxySettings

SETTINGS = HaproxySettings("/run/hactl/haproxy")


def objections(text: str, tmp_path: Path) -> list[str]:
    """Its objections to the file; empty when it accepts the file without a warning."""
    health, file = tmp_path / "health", tmp_path / "haproxy.cfg"
    health.write_text(NOTHING_KNOWN)
    file.write_text(text.replace(SETTINGS.health_file, str(health)))
    argv = [find_haproxy(os.environ.get("HAPROXY", "haproxy")), "-W", "-c", "-f", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    said = [line for line in done.stderr.splitlines() if "[WARNING]" in line or "[ALERT]" in line]
    return said if said or done.returncode == 0 else [f"exit status {done.returncode}: {done.stderr}"]


def make_tls_files(place: Path) -> Path:
    """`api.pem` and `more/other.pem` with certificate and key, `ca.pem` and `list` beside them."""
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    argv += ["-subj", "/CN=api.example.org", "-keyout", str(place / "key"), "-out", str(place / "ca.pem")]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    both = (place / "ca.pem").read_text() + (place / "key").read_text()
    (place / "more").mkdir()
    for file in (place / "api.pem", place / "more" / "other.pem"):
        file.write_text(both)
    (place / "list").write_text(f"{place}/api.pem\n")
    return place
