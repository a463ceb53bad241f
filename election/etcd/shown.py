"""The certificate that a member of etcd shows to its clients: the one in use, whatever its file holds."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from urllib.parse import urlsplit

from election.etcd.tls import CertificateEnd, TlsFiles
from election.etcd.x509 import ends


def shown_certificate(url: str, tls: TlsFiles, timeout_s: float) -> str:
    """In PEM form. It is not checked, whatever it is: nothing is sent but, where `tls` has one, the client's own
    certificate, without which etcd logs a client that broke off. Raises OSError, ValueError."""
    place = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if tls.cert:
        context.load_cert_chain(tls.cert, tls.key)
    with (
        socket.create_connection((place.hostname or "", place.port or 0), timeout_s) as plain,
        context.wrap_socket(plain) as secure,
    ):
        return ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True) or b"")


def shown_ends(urls: Iterable[str], tls: TlsFiles, timeout_s: float) -> list[CertificateEnd]:
    """The end of the certificate that each member shows, of those that answer. `path`: the member's URL. Blocks for
    `timeout_s` at each that does not."""
    certificates = []
    for url in urls:
        if url.startswith("https://"):
            try:
                (end, *_) = ends(shown_certificate(url, tls, timeout_s))
                certificates.append(CertificateEnd("server", url, end))
            except (OSError, ValueError):
                continue
    return certificates
