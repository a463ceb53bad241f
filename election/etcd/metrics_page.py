"""The page /metrics of a member of etcd. It is served at the addresses for clients, to those who show a certificate."""

from __future__ import annotations

import http.client
import ssl

from election.etcd.tls import TlsFiles

# A hundred times what etcd 3.6 says.
_LARGEST = 16 << 20


def metrics_page(endpoint: str, tls: TlsFiles, timeout_s: float) -> str:
    """The page of the member at `endpoint`, HOST:PORT. Raises OSError when there is none; a file of `tls` that cannot
    be used counts as that."""
    connection = _connection(endpoint, tls, timeout_s)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        page = answer.read(_LARGEST)
    except http.client.HTTPException as error:
        raise OSError(f"{endpoint}: {error or type(error).__name__}") from None
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise OSError(f"{endpoint}: /metrics: {answer.status} {answer.reason}")
    return page.decode(errors="replace")


def _connection(endpoint: str, tls: TlsFiles, timeout_s: float) -> http.client.HTTPConnection:
    if not tls.ca:
        return http.client.HTTPConnection(endpoint, timeout=timeout_s)
    context = ssl.create_default_context(cafile=tls.ca)
    if tls.cert:
        context.load_cert_chain(tls.cert, tls.key)
    return http.client.HTTPSConnection(endpoint, timeout=timeout_s, context=context)
