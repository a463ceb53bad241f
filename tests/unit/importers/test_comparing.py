"""The checker that would see it if something were lost."""

from __future__ import annotations

import pytest

from hactl.haproxy.words import SECTIONS
from hactl.importers.haproxy.compare import missing
from hactl.importers.haproxy.source import read_source


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ("timeout client 5000", "timeout client 5s", True),
        ("timeout client 5000", "timeout client 6s", False),
        ("bind :80,:81 a b", "bind *:80 b a\n bind *:81 a b", True),
        ("bind :80,:81", "bind *:80", False),
        ("cookie S insert nocache indirect", "cookie S insert indirect nocache", True),
        ("server a 192.0.2.1:80 check inter 1000", "default-server inter 1s check\n server a 192.0.2.1:80", True),
        ("server a 192.0.2.1:80 check inter 1000", "default-server inter 1s\n server a 192.0.2.1:80", False),
        ("server a 192.0.2.1:80 weight 5", "server a 192.0.2.1:80", False),
        ("default-server weight 5\n server a ::1:80", "server a [::1]:80 weight 5", True),
        ("option httpchk GET /", "option httpchk\n http-check send meth GET uri / ver HTTP/1.1 hdr Host x", False),
        (
            r"option httpchk GET / HTTP/1.1\r\nHost:\ x",
            "option httpchk\n http-check send meth GET uri / ver HTTP/1.1 hdr host x",
            True,
        ),
        ("option httpchk", "option httpchk OPTIONS /", True),
        ("http-request a\n http-request b", "http-request a\n http-request b", True),
        ("http-request a\n http-request b", "http-request b\n http-request a", False),
        ("http-request a\n http-request a", "http-request a", False),
        ("log 'a b'", 'log "a b"', True),
        ("log 'a $b'", 'log "a $b"', False),
        ("no option x", "option x", False),
    ],
)
def test_comparing(ours: str, theirs: str, same: bool) -> None:
    source, other = (read_source(f"listen x\n {text}\n", "x", SECTIONS) for text in (ours, theirs))
    assert (missing(source, other, {}) == []) is same


def test_a_section_that_is_missing_is_missing_line_by_line() -> None:
    source = read_source("listen x\n a 1\n b 2\nlisten y\n c 3\n", "x", SECTIONS)
    other = read_source("listen y\n c 3\n", "x", SECTIONS)
    assert [(line.number, why) for line, why in missing(source, other, {})] == [
        (2, "there is no section `listen x`"),
        (3, "there is no section `listen x`"),
    ]
