"""Certificates: two that are recorded, for tests that only read them; and new ones, written by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

# Each is its own authority. SHORT ends in 2126, LONG later.
SHORT = """\
-----BEGIN CERTIFICATE-----
MIIBdjCCAR2gAwIBAgIUBosTooGqy2OD4n5fR0Izccr18G0wCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFc2hvcnQwIBcNMjYxMTMwMDEwMzI2WhgPMjEyNjExMDYwMTAz
MjZaMBAxDjAMBgNVBAMMBXNob3J0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
vOJyvt8b85MpBOnPEdbzIizf812Yuuw1owYFcV3EIN0Zw+raLV3m5F4G3KUxRpoo
Lt/meb/cmZKyI4j7BH6kNaNTMFEwHQYDVR0OBBYEFH9bSYayjA5mzpolGoNMmIB+
3KBbMB8GA1UdIwQYMBaAFH9bSYayjA5mzpolGoNMmIB+3KBbMA8GA1UdEwEB/wQF
MAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgJZFYEcdZCdtncUDOmeiZwX0u/25F9IIK
YpIfSY1TdAkCIAvqsY8L+Tewv4rlgioecXjXJ/ZTHgk2oLKJ5V/9slqL
-----END CERTIFICATE-----
"""
LONG = """\
-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUHbUtzpZgNG/kcNW7DwhOHMEPKk8wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEbG9uZzAgFw0yNjExMzAwMTAzMjZaGA8yMjI0MDExNzAxMDMy
NlowDzENMAsGA1UEAwwEbG9uZzBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAyg
viEvJkQyj7ngsvnNk/fobsVDPSKvvNFlP2YjMOh4+uGor/3PlUkWBj9tridv3CCL
H0PnRj6zYH28blFOBLCjUzBRMB0GA1UdDgQWBBSp1ljCS6cAvgbkQRD2DKQbCtMQ
SjAfBgNVHSMEGDAWgBSp1ljCS6cAvgbkQRD2DKQbCtMQSjAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCICBoHEPnAlrjwqJoLRIKwhhgsmXM1uMVJhFF
ZgiI5WP3AiBcsLk4Z6hua87mpeyL4Vj62YCYvx/SN7aBm6+GH++Ecw==
-----END CERTIFICATE-----
"""
KEY = """\
-----BEGIN PRIVATE KEY-----
AAAA
-----END PRIVATE KEY-----
"""


def make(directory: Path, name: str, days: int) -> Path:
    """A certificate of its own authority that ends in `days`."""
    path = directory / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", str(days), "-subj", f"/CN={name}", "-keyout", f"{directory}/{name}.key", "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return path


def write_recorded(directory: Path) -> None:
    """`short.pem`, `short.key` and `long.pem`."""
    for name, text in (("short.pem", SHORT), ("long.pem", LONG), ("short.key", KEY)):
        (directory / name).write_text(text)
