"""Errors of calls to etcd, in the store's own terms.

The one question that matters: may the request have been carried out? Only what is certain counts as certain.
"""

from __future__ import annotations

import re

import grpc

from election.store import (
    CompactedError,
    StoreAuthError,
    StoreError,
    StoreFullError,
    StoreRefusedError,
    StoreTimeoutError,
    StoreUnavailableError,
)


class NotSentError(StoreUnavailableError):
    """Certainly not carried out: there was no connection, or the member turned the request away because it has
    no leader, or is a learner, which serves nobody. Another endpoint may do better."""


class HandshakeError(NotSentError, StoreAuthError):
    """The TLS handshake with an endpoint failed: not sent, and refused, too."""


class TokenError(StoreAuthError):
    """The server does not know our token (it ended, or the member restarted): refused, log in again."""


# The words of gRPC for a call that failed for want of a connection, before anything of it was sent.
_NO_CONNECTION = re.compile(
    r"failed to connect to all addresses|(DNS|name) resolution|errors resolving|empty address list", re.I
)
_HANDSHAKE = re.compile(r"handshake|certificate|SSL", re.I)
# The same for people who do not know gRPC; of its words on TLS the reason of OpenSSL is left.
_IN_WORDS = (
    (r"CERTIFICATE_VERIFY_FAILED: ([^:]+)", "its certificate is not vouched for by `etcd_ca`: {}"),
    (r"Hostname Verification|Peer name", "its certificate is of another name than that of this endpoint"),
    (r"TSI_DATA_CORRUPTED|BAD_CERTIFICATE|CERTIFICATE_REQUIRED", "it refuses this node's certificate, or wants one"),
    (r"WRONG_VERSION_NUMBER", "it speaks no TLS: is it http?"),
    (r"Handshake read failed", "it broke off the handshake: it starts or ends just now, or it is http"),
    (r"Socket closed", "it closes the connection at once: does it want https?"),
    (r"Expected SETTINGS frame|parsing HTTP/2", "what listens there is no etcd"),
    (r"before receiving SETTINGS", "it takes the connection and says nothing"),
    (r"errors resolving|(?:DNS|name) resolution", "its name has no address here"),
)
# The words of etcd (etcd, api/v3rpc/rpctypes/error.go). The first two are answered before the request is proposed;
# the last when its apply step finds that users or roles have changed since.
_NO_LEADER = "etcdserver: no leader"
# Its code is UNAVAILABLE or, in later versions, FAILED_PRECONDITION.
_LEARNER = "etcdserver: rpc not supported for learner"
_TOKEN = re.compile(r"invalid auth token|user name is empty|revision of auth store is old|auth: revision in header")
_FULL = "database space exceeded"
_AUTH = re.compile(r"authentication failed|permission denied|invalid user|user name|authentication is not enabled")
_COMPACTED = "required revision has been compacted"

# With these codes etcd refuses before it does anything; a text of another origin (a proxy, gRPC's own limits on
# the answer's size) proves nothing.
_REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
    }
)


def translate(error: grpc.RpcError, endpoint: str) -> StoreError:
    """The store's error for one of gRPC's."""
    code = error.code()
    reply_details = error.details() or ""
    text = f"{endpoint}: {reply_details or code.name.lower()}"
    if reply_details == _LEARNER:
        return NotSentError(text)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return StoreTimeoutError(f"{endpoint}: no answer within the deadline")
    if code is grpc.StatusCode.UNAVAILABLE:
        if reply_details == _NO_LEADER:
            return NotSentError(text)
        if _NO_CONNECTION.search(reply_details):
            text = f"{endpoint} cannot be reached: {in_words(reply_details)}"
            return HandshakeError(text) if _HANDSHAKE.search(reply_details) else NotSentError(text)
        return StoreUnavailableError(text)
    if code is grpc.StatusCode.CANCELLED:
        return StoreUnavailableError(text)
    if code in _REFUSALS and reply_details.startswith("etcdserver: "):
        return refusal(reply_details, text)
    return StoreError(text)


def in_words(reply_details: str) -> str:
    """Why there is no connection, as gRPC says it, for people."""
    for pattern, words in _IN_WORDS:
        if match := re.search(pattern, reply_details, re.I):
            return words.format(*match.groups())
    return reply_details.rpartition(": ")[2]


def refusal(reply_details: str, text: str) -> StoreError:
    """The error for something that etcd refused, by its words."""
    if _TOKEN.search(reply_details):
        return TokenError(text)
    if _FULL in reply_details:
        return StoreFullError(text)
    if _COMPACTED in reply_details:
        return CompactedError(0)
    if _AUTH.search(reply_details):
        return StoreAuthError(text)
    return StoreRefusedError(text)
