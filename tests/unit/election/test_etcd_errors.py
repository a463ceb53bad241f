"""What etcd says, in the store's terms."""

from __future__ import annotations

import grpc
import pytest

from election.etcd.errors import NotSentError, translate


class Said(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, words: str) -> None:
        self._code, self._words = code, words

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._words


LOST = "failed to connect to all addresses; last error: UNAVAILABLE: ipv4:127.0.0.1:1: "


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Unwrap failed (TSI_DATA_CORRUPTED)", "it refuses this node's certificate, or wants one"),
        (
            "Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:"
            "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate: OK",
            "its certificate is not vouched for by `etcd_ca`: unable to get local issuer certificate",
        ),
        (
            "Handshake read failed (Socket closed)",
            "it broke off the handshake: it starts or ends just now, or it is http",
        ),
        ("Socket closed", "it closes the connection at once: does it want https?"),
        ("Failed parsing HTTP/2 (Expected SETTINGS frame as the first frame)", "what listens there is no etcd"),
        ("connection attempt timed out before receiving SETTINGS frame", "it takes the connection and says nothing"),
        ("connect failed: Connection refused", "Connection refused"),
    ],
)
def test_why_there_is_no_connection_is_said_in_plain_words(said: str, words: str) -> None:
    """As gRPC 1.85 says it."""
    error = translate(Said(grpc.StatusCode.UNAVAILABLE, LOST + said), "a:1")
    assert isinstance(error, NotSentError) and str(error) == f"a:1 cannot be reached: {words}"


def test_a_name_that_has_no_address_was_not_sent() -> None:
    said = "errors resolving a.invalid:1: [field:hostname lookup error:address lookup failed for a.invalid:1]"
    error = translate(Said(grpc.StatusCode.UNAVAILABLE, said), "a:1")
    assert isinstance(error, NotSentError) and "its name has no address here" in str(error)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.FAILED_PRECONDITION])
def test_a_learner_serves_nobody_and_another_member_may(code: grpc.StatusCode) -> None:
    """The code is another one in etcd 3.6."""
    assert isinstance(translate(Said(code, "etcdserver: rpc not supported for learner"), "a:1"), NotSentError)
