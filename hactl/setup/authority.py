"""The cluster's certificate authority, and what it signs: made with the program openssl.

Its key stays on the machine where setup ran, for root alone.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hactl.linux.atomic_write import write_atomically
from hactl.setup.bundle import Pair, check_certificate
from hactl.setup.errors import RefusedError
from hactl.setup.machine import must
from hactl.setup.plan import Host

AUTHORITY_DAYS, CERTIFICATE_DAYS = 7305, 730

# openssl's own file is the machine's; this one says all that is used.
_CONFIG = """\
[req]
distinguished_name = subject
prompt = no
string_mask = utf8only
utf8 = yes
[subject]
{subject}
[extensions]
{extensions}
"""
_AUTHORITY = """\
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash"""
_LEAF = """\
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = {usage}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid"""


class Subject(NamedTuple):
    """Whose certificate. `name`: its common name; "": none, since etcd takes a common name for a user's. `names`, of a
    server: what it is reached by, as openssl writes it (`DNS:n1`, `IP:10.0.0.11`)."""

    name: str
    usage: str
    names: tuple[str, ...] = ()


def _reached_by(host: Host) -> tuple[str, ...]:
    return (f"DNS:{host.name}", f"IP:{host.address}", "DNS:localhost", "IP:127.0.0.1")


def server(host: Host) -> Subject:
    """Of an etcd member towards clients. etcd uses it as a client of itself, too."""
    return Subject("", "serverAuth, clientAuth", _reached_by(host))


def peer(host: Host) -> Subject:
    """Of an etcd member towards the others."""
    return Subject(host.name, "serverAuth, clientAuth", _reached_by(host))


def client(user: str) -> Subject:
    """Of a user of etcd."""
    return Subject(user, "clientAuth")


def user_of(node: str) -> str:
    """The user of etcd that a node's daemon is."""
    return f"hactl-{node}"


ADMIN = "root"


class Authority:
    """`directory`: where its key and certificate are."""

    def __init__(self, directory: str, cluster: str) -> None:
        self.key, self.certificate = Path(directory, "ca.key"), Path(directory, "ca.pem")
        self._cluster = cluster

    def make(self) -> bool:
        """Make it, whole or not at all; kept where it is there: False. Raises RefusedError."""
        if self.certificate.exists():
            self._check()
            return False
        if not self.key.exists():
            write_atomically(self.key, _new_key())
        check_private(self.key)
        subject = f"O = hactl\nCN = hactl {self._cluster}"
        text = _sign(self.key.read_text(), subject, _AUTHORITY, AUTHORITY_DAYS, ())
        write_atomically(self.certificate, text, mode=0o644)
        return True

    def issue(self, subject: Subject, key: str = "") -> Pair:
        """A certificate of `key`, or of a new one. Raises RefusedError."""
        key = key or _new_key()
        owner = f"O = hactl {self._cluster}" + (f"\nCN = {subject.name}" if subject.name else "")
        extensions = _LEAF.format(usage=subject.usage)
        if subject.names:
            extensions += f"\nsubjectAltName = {', '.join(subject.names)}"
        by = ("-CA", str(self.certificate), "-CAkey", str(self.key))
        return Pair(_sign(key, owner, extensions, CERTIFICATE_DAYS, by), key)

    def signed(self, pair: Pair) -> bool:
        """Whether a certificate is of this authority."""
        return signed_by(self.certificate.read_text(), pair.cert)

    def _check(self) -> None:
        try:
            check_certificate(self.certificate.read_text())
        except (OSError, ValueError) as error:
            raise RefusedError(f"{self.certificate} cannot be used: {error}; bring it back from a backup") from None
        check_private(self.key)


def signed_by(authority: str, certificate: str) -> bool:
    """Whether a certificate is of an authority, whatever its dates."""
    with tempfile.TemporaryDirectory(prefix="hactl-") as directory:
        ca, leaf = Path(directory, "ca.pem"), Path(directory, "leaf.pem")
        ca.write_text(authority)
        leaf.write_text(certificate)
        from hactl.setup.machine import command  # noqa: PLC0415

        return command(["openssl", "verify", "-no_check_time", "-CAfile", str(ca), str(leaf)]).ok


def check_private(path: Path) -> None:
    """Raises RefusedError where a key's file is not its user's alone."""
    try:
        info = path.lstat()
    except OSError as error:
        raise RefusedError(f"{path} cannot be read: {error.strerror}; bring it back from a backup") from None
    if not stat.S_ISREG(info.st_mode):
        raise RefusedError(f"{path} is no regular file: move it away, and bring the key back from a backup")
    if info.st_uid != os.geteuid():
        raise RefusedError(f"{path} belongs to user {info.st_uid}, who can read it: chown root:root {path}")
    if info.st_mode & 0o077:
        raise RefusedError(f"{path} may be read or written by others than root: chmod 600 {path}")


def _new_key() -> str:
    return must(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])


def _sign(key: str, subject: str, extensions: str, days: int, by: Sequence[str]) -> str:
    """A certificate of this key; signed by itself without `by`."""
    with tempfile.TemporaryDirectory(prefix="hactl-") as directory:  # mode 0700
        config, key_file = Path(directory, "openssl.cnf"), Path(directory, "key.pem")
        config.write_text(_CONFIG.format(subject=subject, extensions=extensions))
        key_file.write_text(key)
        argv = ["openssl", "req", "-new", "-x509", "-sha256", "-days", str(days), "-config", str(config)]
        argv += ["-extensions", "extensions", "-key", str(key_file), "-set_serial", f"0x{_serial()}", *by]
        return must(argv)


def _serial() -> str:
    """Positive, and none twice (RFC 5280, 4.1.2.2)."""
    return f"{os.urandom(1)[0] & 0x3F | 0x40:02x}{os.urandom(15).hex()}"
