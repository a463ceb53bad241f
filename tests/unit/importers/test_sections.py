"""Sections that are no proxies, and proxies that no service can be: they are settings of HAProxy's, or words."""

from __future__ import annotations

from tests.support.haproxy_import import imported


def test_global() -> None:
    text = 'global\n setenv L /dev/log\n log "$L" local0\n maxconn 7\n maxconn 9\n'
    text += " daemon\n nbproc 2\n.if x\n maxconn 1\n.endif\n"
    result = imported(text)
    assert result.document["haproxy"] == {
        "maxconn": None,
        "log": [],
        "extra_global": [
            "setenv L /dev/log",
            'log "$L" local0',
            "maxconn 7",
            "maxconn 9",
            ".if x",
            "maxconn 1",
            ".endif",
        ],
    }
    assert [(note.fate, note.line) for note in result.notes if note.fate in ("left", "lost")] == [
        ("left", 6),
        ("lost", 7),
    ]
    assert not result.whole
    assert imported("global\n maxconn 7\n maxconn 9\n user x\n").document["haproxy"] == {
        "maxconn": 9,
        "user": "x",
        "group": "",
        "log": [],
    }


def test_userlists() -> None:
    crypted = "$5$abcdefgh$0123456789"
    lists = f"userlist a\n group g users u\n user u password {crypted}\n user v password {crypted}\n"
    assert imported(lists).document["haproxy"]["userlists"]["a"] == [
        {"name": "u", "password": crypted, "groups": ["g"]},
        {"name": "v", "password": crypted},
    ]
    for line in (
        " user w insecure-password x\n",
        " group unused\n",
        " group h users nobody\n",
        ' user "a b" password x\n',
    ):
        document = imported(lists + line).document["haproxy"]
        assert "userlists" not in document and document["sections"][0].startswith("userlist a\n")


def test_whole_proxies_in_a_condition() -> None:
    text = "defaults d\n mode http\n.if feature(X)\nbackend a\n server s 192.0.2.1:80\n.else\nring r\n size 9\n.endif\n"
    result = imported(text + "backend b\n")
    assert result.whole, result.notes
    assert result.document["haproxy"]["sections"] == [
        ".if feature(X)\nbackend a from d\n    server s 192.0.2.1:80\n.else\nring r\n    size 9\n.endif"
    ]
    assert imported(result.rendered).document["services"] == result.document["services"]


def test_what_is_no_service_is_kept_as_a_section_with_the_reason() -> None:
    text = "defaults d\nfrontend nowhere\n bind 127.0.0.1:1\n timeout client 1s\nbackend a/b\nbackend no:name\n"
    result = imported(text)
    assert result.document["haproxy"]["sections"] == [
        "frontend nowhere from d\n    bind 127.0.0.1:1\n    timeout client 1s",
        "backend a/b from d",
        "backend no:name from d",
    ]
    assert [note.line for note in result.notes if note.fate == "raw"] == [2, 5, 6] and result.whole
    assert "leads nowhere" in next(note.why for note in result.notes if note.line == 2)
