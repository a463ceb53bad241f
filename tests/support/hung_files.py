"""A file system whose server does not answer: FUSE, without a server, or with one that takes requests and never
answers, which a process cannot even be killed out of (Linux, fs/fuse/dev.c, request_wait_answer)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

# After so long it answers after all, with an error: a thread that waited in vain goes on, and the test fails.
PATIENCE_S = 20.0
_FORCE, _DETACH = 1, 2
_REQUEST = struct.Struct("IIQQIIII")
_LARGEST = 1 << 17

_libc = ctypes.CDLL(None, use_errno=True)


class HungFiles:
    """Every access below `path` waits. `given_up`: one has waited for PATIENCE_S."""

    def __init__(self, path: Path, server: int) -> None:
        self.path, self.given_up = path, False
        self._server, self._ended = server, False

    def take(self) -> None:
        """Take requests; answer only the greeting."""
        while not self._ended:
            if not select.select([self._server], [], [], 0.05)[0]:
                continue
            try:
                request = os.read(self._server, _LARGEST)
            except OSError:
                return
            _, opcode, unique, *_ = _REQUEST.unpack_from(request)
            if opcode == 26:  # FUSE_INIT
                answer = struct.pack("IIIIHHIIHHI28x", 7, 31, 0, 0, 0, 0, 4096, 1, 0, 0, 0)
                os.write(self._server, struct.pack("IiQ", 16 + len(answer), 0, unique) + answer)

    def answer(self) -> None:
        """Everybody goes on."""
        self._ended = True
        _libc.umount2(os.fsencode(self.path), _FORCE | _DETACH)

    def give_up(self) -> None:
        self.given_up = True
        self.answer()


@contextlib.contextmanager
def hung_files(path: Path, *, taking: bool = False) -> Iterator[HungFiles]:
    """Skips the test where there can be none. `taking`: requests are taken."""
    path.mkdir()
    try:
        server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"no FUSE here: {error}")
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
    if _libc.mount(b"hung", os.fsencode(path), b"fuse", 0, options):
        os.close(server)
        pytest.skip(f"cannot mount: {os.strerror(ctypes.get_errno())}")
    files = HungFiles(path, server)
    timer = threading.Timer(PATIENCE_S, files.give_up)
    timer.start()
    taker = threading.Thread(target=files.take)
    if taking:
        taker.start()
    try:
        yield files
    finally:
        timer.cancel()
        files.answer()
        if taking:
            taker.join()
        os.close(server)
