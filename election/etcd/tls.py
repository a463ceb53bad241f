"""The PEM files with which etcd is reached: whether they were renewed, and their faults.

gRPC reads them once, when a channel is made. So that a renewed certificate counts without a restart, an endpoint
makes a new channel when its connection fails and the files are others than those it was made with.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from election.etcd.x509 import CertificateError, ends

# More than any file of certificates has.
_LARGEST = 16 << 20
_KEY = re.compile(r"-----BEGIN ((?:[A-Z]+ )*PRIVATE KEY)-----.+?-----END \1-----", re.S)

Mark = tuple[tuple[int, int, int], ...]


class CertificateEnd(NamedTuple):
    """Until when a file's certificate holds. `kind`: `client`, `ca`; of a member's, the file's name without `.pem`."""

    kind: str
    path: str
    end: datetime


class TlsFiles(NamedTuple):
    """Paths; empty where there is none. `ca`: the authority that signed etcd's certificates; `cert`, `key`: ours."""

    ca: str = ""
    cert: str = ""
    key: str = ""

    def mark(self) -> Mark:
        """A value that changes when a file is written anew or replaced."""
        return tuple(_mark(path) for path in self if path)

    def ends(self) -> list[CertificateEnd]:
        """The ends of what can be read: of the client's own certificate, and of the authority that holds longest."""
        certificates = []
        for kind, path, pick in (("client", self.cert, _first), ("ca", self.ca, max)):
            if path:
                try:
                    certificates.append(CertificateEnd(kind, path, pick(ends(_read(path)))))
                except (OSError, CertificateError):
                    continue
        return certificates

    def problems(self, now: datetime | None = None) -> Iterator[str]:
        """The plain faults of the files, in words."""
        yield from self.damage()
        yield from self._ended(now or datetime.now(UTC))

    def damage(self) -> Iterator[str]:
        """Faults that keep them from being used at all: half written, empty, gone."""
        for path in (self.ca, self.cert, self.key):
            try:
                text = _read(path) if path else ""
                if path and path != self.key:
                    ends(text)
                elif path and not _KEY.search(text):
                    yield f"{path} holds no private key in PEM form"
            except OSError as error:
                yield f"{path} cannot be read: {error.strerror}"
            except CertificateError as error:
                yield f"{path} {error}"

    def _ended(self, now: datetime) -> Iterator[str]:
        for certificate in self.ends():
            if certificate.end <= now:
                owner = "client certificate" if certificate.kind == "client" else "authority's certificate"
                yield f"the {owner} {certificate.path} ended on {certificate.end:%Y-%m-%d %H:%M} UTC: renew it"


def member_ends(paths: Iterable[str]) -> list[CertificateEnd]:
    """The ends of the certificates of an etcd member here, of those that can be read."""
    certificates = []
    for path in paths:
        try:
            kind = path.rpartition("/")[2].removesuffix(".pem")
            certificates.append(CertificateEnd(kind, path, _first(ends(_read(path)))))
        except (OSError, CertificateError):
            continue
    return certificates


def _first(dates: list[datetime]) -> datetime:
    return dates[0]


def _read(path: str) -> str:
    """A PEM file; what is beside the certificates in it is for people, in any language. Raises OSError. Who renews it
    may put anything there, and a renewal of the lease may wait for this: a pipe does not hang us."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", path)
        return file.read(_LARGEST).decode("latin-1")


def _mark(path: str) -> tuple[int, int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116 - one call, no object
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_ino, status.st_size)
