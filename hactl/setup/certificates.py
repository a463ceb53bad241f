"""The certificates of this machine, and those that etcd's members show: whose, and until when."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from election.etcd.shown import shown_certificate
from election.etcd.tls import TlsFiles
from election.etcd.x509 import CertificateError, ends
from hactl.linux.regular_file import read_regular
from hactl.setup.machine import command
from hactl.setup.places import Places

_CONNECT_S = 2.0
_COMMON_NAME = re.compile(r"(?:^|,)CN=((?:[^,\\]|\\.)+)")


class Certificate(NamedTuple):
    """`place`: a file, or an endpoint of etcd; `use`: of what it is; `name`: its common name, "" for none; `end`: None
    where `problem` says why it is not known."""

    place: str
    use: str
    name: str = ""
    end: datetime | None = None
    problem: str = ""


_USES = (
    ("pki/client.pem", "client of etcd"),
    ("pki/admin.pem", "operator of etcd"),
    ("pki/ca.pem", "authority"),
    ("etcd/server.pem", "etcd, towards clients"),
    ("etcd/peer.pem", "etcd, towards members"),
    ("etcd/ca.pem", "authority"),
    ("ca/ca.pem", "authority, with its key"),
)


def of_this_machine(places: Places, also: Sequence[str] = ()) -> list[Certificate]:
    """The files that are there. `also`: those that node.toml names, wherever they are."""
    wanted = {f"{places.etc}/{name}": use for name, use in _USES if Path(places.etc, name).exists()}
    wanted |= {path: "client of etcd" for path in also if path and path not in wanted}
    return [_read(path, use) for path, use in wanted.items()]


def _read(path: str, use: str) -> Certificate:
    try:
        text = read_regular(path).decode("latin-1")
        end = ends(text)[0]
    except OSError as error:
        return Certificate(path, use, problem=f"cannot be read: {error.strerror}")
    except CertificateError as error:
        return Certificate(path, use, problem=str(error))
    return Certificate(path, use, _name(text), end)


def _name(pem: str) -> str:
    shown = command(["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253"], input=pem).stdout
    match = _COMMON_NAME.search(shown.strip().removeprefix("subject="))
    return match[1] if match else ""


def shown_by(endpoints: Sequence[str]) -> Iterator[Certificate]:
    """The certificates that etcd shows to its clients, in use now."""
    for url in endpoints:
        if url.startswith("https://"):
            yield _shown(url)


def _shown(url: str) -> Certificate:
    use = "etcd, in use"
    try:
        pem = shown_certificate(url, TlsFiles(), _CONNECT_S)
        return Certificate(url, use, _name(pem), ends(pem)[0])
    except (OSError, ValueError) as error:
        return Certificate(url, use, problem=str(getattr(error, "strerror", None) or error))
