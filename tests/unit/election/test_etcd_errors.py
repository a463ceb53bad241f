"""What etcd says, in the store's terms."""

from __future__ import annotations

import grpc
import pytest

from election.etcd_errors import NotSentError, translate


class Said(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, words: str) -> None:
        self._code, self._words = code, words

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._words


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.FAILED_PRECONDITION])
def test_a_learner_serves_nobody_and_another_member_may(code: grpc.StatusCode) -> None:
    """The code is another one in etcd 3.6."""
    assert isinstance(translate(Said(code, "etcdserver: rpc not supported for learner"), "a:1"), NotSentError)
