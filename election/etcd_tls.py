"""The PEM files with which etcd is reached: whether they were renewed, and what is wrong with them.

gRPC reads them once, when a channel is made. So that a renewed certificate counts without a restart, an endpoint
makes a new channel when its connection fails and the files are others than those it was made with.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from election.x509 import CertificateError, ends

Mark = tuple[tuple[int, int, int], ...]


class CertificateEnd(NamedTuple):
    """Until when a file's certificate holds. `kind`: `client` or `ca`."""

    kind: str
    path: str
    end: datetime


class TlsFiles(NamedTuple):
    """Paths; empty where there is none. `ca`: the authority that signed etcd's certificates; `cert`, `key`: ours."""

    ca: str = ""
    cert: str = ""
    key: str = ""

    def mark(self) -> Mark:
        """What is another when a file was written anew or replaced."""
        return tuple(_mark(path) for path in self if path)

    def ends(self) -> list[CertificateEnd]:
        """The ends of what can be read: of the client's own certificate, and of the authority that holds longest."""
        found = []
        for kind, path, pick in (("client", self.cert, _first), ("ca", self.ca, max)):
            if path:
                try:
                    found.append(CertificateEnd(kind, path, pick(ends(_read(path)))))
                except (OSError, UnicodeDecodeError, CertificateError):
                    continue
        return found

    def problems(self, now: datetime | None = None) -> Iterator[str]:
        """What is plainly wrong with the files, in words."""
        for path in (self.ca, self.cert, self.key):
            try:
                text = _read(path) if path else ""
                if path and path != self.key:
                    ends(text)
            except OSError as error:
                yield f"{path} cannot be read: {error.strerror}"
            except (UnicodeDecodeError, CertificateError) as error:
                yield f"{path} {error if isinstance(error, CertificateError) else 'is no PEM file'}"
        for one in self.ends():
            if one.end <= (now or datetime.now(UTC)):
                what = "client certificate" if one.kind == "client" else "authority's certificate"
                yield f"the {what} {one.path} ended on {one.end:%Y-%m-%d %H:%M} UTC: renew it"


def _first(found: list[datetime]) -> datetime:
    return found[0]


def _read(path: str) -> str:
    return Path(path).read_text(encoding="ascii")


def _mark(path: str) -> tuple[int, int, int]:
    try:
        stat = os.stat(path)  # noqa: PTH116 - one call, no object
    except OSError:
        return (0, 0, 0)
    return (stat.st_mtime_ns, stat.st_ino, stat.st_size)
