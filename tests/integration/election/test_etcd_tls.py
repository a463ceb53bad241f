"""Which certificates are taken over while etcd is in use: none that cannot be used at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from election.etcd.auth import Token
from election.etcd.endpoints import Endpoint
from election.etcd.tls import TlsFiles
from tests.support.certificates import make


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    cert = make(tmp_path, "node", 3)
    return TlsFiles(str(cert), str(cert), str(tmp_path / "node.key"))


def connect() -> Any:
    channel = grpc.insecure_channel("127.0.0.1:1")
    return SimpleNamespace(channel=channel, close=channel.close)


@pytest.mark.parametrize("field", ["cert", "key", "ca"])
def test_garbage_is_not_taken_over(files: TlsFiles, tmp_path: Path, field: str) -> None:
    """A full disk leaves an empty file: the one that was read at the start still holds."""
    if field == "ca":
        shutil.copy(files.ca, tmp_path / "ca.pem")
        files = files._replace(ca=str(tmp_path / "ca.pem"))
    path = Path(getattr(files, field))
    good = path.read_text()
    endpoint = Endpoint("e", connect, Token(), None, files)
    try:
        first = endpoint.client
        for text in ("", good[: len(good) // 3]):
            path.write_text(text)
            endpoint._take_over_renewed(files)
            assert endpoint.client is first
        path.unlink()
        os.mkfifo(path)
        endpoint._take_over_renewed(files)  # and does not wait for a writer
        assert endpoint.client is first
        path.unlink()
        path.write_text(f"# mit Umlauten: \u00e4\u00f6\u00fc\n{good}")
        endpoint._take_over_renewed(files)
        assert endpoint.client is not first
    finally:
        endpoint.client.close()


def test_a_pipe_is_no_certificate(tmp_path: Path) -> None:
    pipe = tmp_path / "ca.pem"
    os.mkfifo(pipe)
    assert list(TlsFiles(str(pipe)).problems()) == [f"{pipe} cannot be read: it is no regular file"]
    assert TlsFiles(str(pipe)).ends() == []
    pipe.unlink()
    pipe.symlink_to("/dev/zero")
    assert list(TlsFiles(str(pipe)).problems()) == [f"{pipe} cannot be read: it is no regular file"]
