"""What becomes a setting and what stays words; nothing is lost, and a checker that would see it."""

from __future__ import annotations

from typing import Any

import pytest

from hactl.config.errors import ConfigErrors
from hactl.haproxy.words import SECTIONS
from hactl.importers.haproxy.compare import missing
from hactl.importers.haproxy.imported import Imported, import_text
from hactl.importers.haproxy.source import read_source

SERVERS = " server a 192.0.2.1:80\n server b 192.0.2.2:80\n"


def imported(text: str) -> Imported:
    return import_text(text, "x.cfg")


def service(lines: str, head: str = "listen x\n bind 127.0.0.1:80\n") -> dict[str, Any]:
    result = imported(head + lines)
    assert result.whole, result.notes
    assert len(result.document["services"]) == 1, result.notes
    made: dict[str, Any] = result.document["services"][0]
    return made


def notes(text: str, fate: str) -> list[tuple[int, str]]:
    return [(note.line, note.text) for note in imported(text).notes if note.fate == fate]


@pytest.mark.parametrize(
    ("line", "settings"),
    [
        ("mode http\n balance hdr(Host)", {"mode": "http", "balance": "hdr", "balance_by": "Host"}),
        ("balance random(3)", {"balance": "random", "balance_by": "3"}),
        (
            "mode http\n balance url_param id check_post",
            {"mode": "http", "balance": "url_param", "balance_by": "id check_post"},
        ),
        ("balance rdp-cookie(x)", {"extra": ["balance rdp-cookie(x)"]}),
        ("retries 0", {"extra": ["retries 0"]}),
        ("option redispatch 1", {"redispatch": True}),
        ("option redispatch", {"extra": ["option redispatch"]}),
        ("no option redispatch", {"redispatch": False}),
        ("option forwardfor except 127.0.0.0/8", {"extra": ["option forwardfor except 127.0.0.0/8"]}),
        ("option httpclose\n option http-server-close", {"extra": ["option httpclose", "option http-server-close"]}),
        ("option httplog", {"extra": ["option httplog"]}),
        ("mode http\n option httplog", {"mode": "http", "detailed_log": True}),
        ("log global\n log 127.0.0.1 local1", {"log": ["global", "127.0.0.1 local1"]}),
        ("no log", {"log": []}),
        ("no log\n log global", {"extra": ["no log", "log global"]}),
        ('log-format "%ci \\"x\\""', {"log_format": '"%ci \\"x\\""'}),
        ("timeout client 5000\n timeout server 1d", {"timeouts": {"client": "5s", "server": "24h"}}),
        ("timeout client 100us", {"extra": ["timeout client 100us"]}),
        ('timeout client "${T}"', {"extra": ['timeout client "${T}"']}),
        (
            "mode http\n stats uri /s\n stats refresh 5\n stats enable",
            {"mode": "http", "stats": {"uri": "/s", "refresh": "5s"}},
        ),
        ("balance uri", {"extra": ["balance uri"]}),
        ("http-request deny", {"extra": ["http-request deny"]}),
        ("stats uri /s\n stats realm x", {"extra": ["stats uri /s", "stats realm x"]}),
    ],
)
def test_a_directive(line: str, settings: dict[str, Any]) -> None:
    made = service(f" {line}\n")
    assert {name: made[name] for name in settings} == settings
    assert set(made) - set(settings) == {"name", "defaults", "binds", "members"}


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ("check inter 2s", {"check": {"kind": "tcp", "inter": "2s"}}),
        ("inter 2s", {"check": {"inter": "2s"}}),
        ("ssl verify none", {"server": {"tls": {"verify": "none"}}}),
        ("ssl", {"server": {"words": "ssl"}}),
        ("ssl verify required", {"server": {"words": "ssl verify required"}}),
        ("no-check-ssl maxconn 5", {"server": {"maxconn": 5}, "check": {"tls": False}}),
        ("minconn 2 tcp-ut 3s", {"server": {"dead_peer": "3s", "words": "minconn 2"}}),
        ('sni "str(x)"', {"server": {"words": 'sni "str(x)"'}}),
        ("future-word 1", {}),
    ],
)
def test_what_all_servers_have_is_said_once(words: str, settings: dict[str, Any]) -> None:
    made = service("".join(f" server {name} 192.0.2.{index}:80 {words}\n" for index, name in enumerate("ab", 1)))
    assert {name: made[name] for name in ("check", "server") if name in made} == settings


def test_what_servers_have_each() -> None:
    lines = " default-server check weight 5\n server a 192.0.2.1:80\n server b 192.0.2.2:80 weight 7 backup no-check\n"
    made = service(lines + " server c [2001:db8::1]:81 disabled inter 1s cookie x\n")
    assert made["servers"] == [
        {"name": "a", "address": "192.0.2.1", "port": 80, "weight": 5, "words": "check"},
        {"name": "b", "address": "192.0.2.2", "port": 80, "weight": 7, "backup": True, "words": "no-check"},
        {"name": "c", "address": "2001:db8::1", "port": 81, "weight": 5, "disabled": True, "cookie": "x"}
        | {"words": "check inter 1s"},
    ]


def test_a_server_without_a_port_is_left_to_haproxy() -> None:
    made = service(" server a 192.0.2.1 check inter 1s\n server b 192.0.2.2 check inter 1s\n")
    assert made["check"] == {"inter": "1s"} and made["servers"][0]["words"] == "check"
    assert service(" server a 192.0.2.1 check port 80\n")["check"] == {"kind": "tcp", "port": 80}


def test_a_cookie_needs_a_value_on_every_server() -> None:
    line = " mode http\n cookie S insert indirect\n server a 192.0.2.1:80 cookie a\n server b 192.0.2.2:80"
    assert service(f"{line} cookie b\n")["cookie"] == {
        "name": "S",
        "mode": "insert",
        "indirect": True,
        "nocache": False,
    }
    assert service(f"{line}\n")["extra"] == ["cookie S insert indirect"]


def test_binds() -> None:
    binds = ":80,[::1]:81", ":::82", "10.0.0.1:83-85 name x", "/run/x.sock mode 600", "unix@/run/y"
    tls = "*:443 ssl crt /etc/a.pem crt /etc/b/ alpn h2 accept-proxy no-sslv3", "*:444 ssl crt relative.pem"
    made = service("".join(f" bind {bind}\n" for bind in (*binds, *tls, "bad-host:1")), "listen x\n")
    assert made["binds"] == [
        "*:80",
        "[::1]:81",
        "[::]:82",
        {"address": "10.0.0.1:83-85", "words": "name x"},
        {"address": "/run/x.sock", "words": "mode 600"},
        "unix@/run/y",
        {
            "address": "*:443",
            "accept_proxy": True,
            "tls": {"certificates": ["/etc/a.pem", "/etc/b/"], "alpn": "h2"},
            "words": "no-sslv3",
        },
        {"address": "*:444", "words": "ssl crt relative.pem"},
    ]
    assert made["extra"] == ["bind bad-host:1"]


def test_the_last_of_a_family_counts_and_the_others_are_listed() -> None:
    text = "listen x\n bind 127.0.0.1:80\n timeout client 1s\n balance first\n timeout client 2s\n"
    assert imported(text).document["services"][0]["timeouts"] == {"client": "2s"}
    assert notes(text, "left") == [(3, "timeout client 1s")]


def test_which_defaults_a_proxy_has() -> None:
    proxies = "{0}frontend a\n bind 127.0.0.1:1\n default_backend b\n{1}backend b{2}\n"
    cases = {
        ("", "", ""): ("haproxy", "haproxy"),
        ("defaults\n", "defaults\n", ""): ("imported", "imported-2"),
        ("defaults one\n", "defaults two from one\n", " from one"): ("one", "one"),
        ("defaults haproxy\n", "", ""): ("haproxy", "haproxy"),
        ("", "defaults hactl\n", " from hactl"): ("haproxy", None),
    }
    for parts, wanted in cases.items():
        services = imported(proxies.format(*parts)).document["services"]
        assert tuple(entry.get("defaults") for entry in services) == wanted
    with pytest.raises(ConfigErrors, match=r"x.cfg:2:1: .* is not there above it"):
        imported("defaults a\nbackend b from c\ndefaults c\n")


def test_sets_of_one_name() -> None:
    text = "defaults a\n mode http\nbackend x\ndefaults a\n mode tcp\nbackend y\n"
    result = imported(text)
    assert result.whole and result.document["haproxy"]["defaults"] == {"a": {"mode": "http"}, "a-2": {"mode": "tcp"}}
    assert [entry["defaults"] for entry in result.document["services"]] == ["a", "a-2"]


def test_whole_proxies_in_a_condition() -> None:
    text = "defaults d\n mode http\n.if feature(X)\nbackend a\n server s 192.0.2.1:80\n.else\nring r\n size 9\n.endif\n"
    result = imported(text + "backend b\n")
    assert result.whole, result.notes
    assert result.document["haproxy"]["sections"] == [
        ".if feature(X)\nbackend a from d\n    server s 192.0.2.1:80\n.else\nring r\n    size 9\n.endif"
    ]
    assert imported(result.rendered).document["services"] == result.document["services"]


def test_a_proxy_in_a_condition_names_its_own_defaults() -> None:
    text = "defaults d\ndefaults e\n.if x\nbackend a from d\nbackend b\n.endif\n"
    result = imported(text)
    assert result.whole, result.notes
    assert result.document["haproxy"]["sections"] == [".if x\nbackend a from d\nbackend b from e\n.endif"]


def test_what_haproxy_knows_no_longer() -> None:
    text = "defaults\n contimeout 5000\n redispatch\nlisten x\n bind 127.0.0.1:80\n clitimeout 1m\n reqadd X:\\ y\n"
    result = imported(text)
    assert result.document["haproxy"]["defaults"]["imported"] == {
        "timeouts": {"connect": "5s"},
        "extra": ["option redispatch"],
    }
    assert result.document["services"][0]["timeouts"] == {"client": "1m"} and result.whole
    said = {note.line: note.why for note in result.notes if note.line}
    assert "became `timeout connect 5000`" in said[2] and "in its place: http-request add-header" in said[7]


def test_a_set_of_defaults_inherits_all_but_the_rules() -> None:
    text = "defaults a\n timeout client 1s\n http-request deny\n maxconn 5\ndefaults b from a\n timeout client 2s\n"
    sets = imported(text).document["haproxy"]["defaults"]
    assert sets["b"] == {"timeouts": {"client": "2s"}, "maxconn": 5}
    assert sets["a"]["extra"] == ["http-request deny"] and notes(text, "left") == []


def test_a_frontend_and_its_backend_of_one_name() -> None:
    front = "frontend x\n bind 127.0.0.1:1\n default_backend x\n log global\n"
    back = "backend x\n log global\n http-request deny\n" + SERVERS
    (split,) = imported(front + back).document["services"]
    assert (split["kind"], split["extra"], "default_backend" in split) == ("split", ["http-request deny"], False)
    for other in (back.replace(" log global\n", ""), back + " timeout tarpit 1s\n", "defaults\n" + back):
        document = imported(front + other).document
        assert [(entry["name"], entry["kind"]) for entry in document["services"]] == [
            ("x-front", "frontend"),
            ("x", "backend"),
        ]
        assert "sections" not in document["haproxy"]


FRONT_X = "frontend x\n mode http\n bind 127.0.0.1:1\n"
BACK_X = "backend x\n mode http\n server s1 192.0.2.1:80\n"


@pytest.mark.parametrize(
    ("text", "services", "raw"),
    {
        "the backend first": (BACK_X + FRONT_X + " default_backend x\n", ["x split"], 0),
        "the mode is inherited": (
            "defaults\n mode http\n" + FRONT_X.replace(" mode http\n", "") + " default_backend x\n" + BACK_X,
            ["x split"],
            0,
        ),
        "it leads elsewhere": (
            FRONT_X + " default_backend y\n" + BACK_X + BACK_X.replace("x", "y"),
            ["x-front frontend", "x backend", "y backend"],
            0,
        ),
        "chosen by a rule": (FRONT_X + " use_backend x if TRUE\n" + BACK_X, ["x-front frontend", "x backend"], 0),
        "the new name is taken": (
            FRONT_X + " default_backend x\n" + BACK_X + "frontend x-front\n mode http\n bind :2\n default_backend x\n",
            ["x-front-2 frontend", "x split"],
            0,
        ),
        "a rule looks at the frontend": (
            FRONT_X + " default_backend x\n" + BACK_X + " http-request deny if { fe_conn(x) gt 5 }\n",
            ["x backend"],
            1,
        ),
        "its table has its name": (
            FRONT_X
            + " stick-table type ip size 1 expire 1s\n http-request track-sc0 src table x\n default_backend x\n"
            + BACK_X,
            ["x backend"],
            1,
        ),
        "a condition for `stick` of the backend's own": (
            FRONT_X + " default_backend x\n" + BACK_X
            + " acl a src 10.0.0.1\n stick-table type ip size 1 expire 1s\n stick on src if a\n",
            ["x-front frontend", "x backend"],
            0,
        ),
        "a bind that no service can have": (
            FRONT_X + " .if defined(X)\n bind :2\n .endif\n default_backend x\n" + BACK_X,
            ["x split"],
            0,
        ),
        "a part that no service can have": (
            FRONT_X.replace(" bind 127.0.0.1:1\n", ' bind "$ADDRESS"\n') + " default_backend x\n" + BACK_X,
            ["x backend"],
            1,
        ),
    }.values(),
)  # fmt: skip
def test_the_backend_keeps_the_name_and_stays_a_service(text: str, services: list[str], raw: int) -> None:
    result = imported(text)
    assert [f"{entry['name']} {entry.get('kind', 'listen')}" for entry in result.document["services"]] == services
    assert len(result.document["haproxy"].get("sections", [])) == raw and result.whole


def test_rules_stay_behind_conditions_that_stay_words() -> None:
    text = "listen l\n bind :1\n mode http\n.if defined(X)\n acl a src 10.0.0.1\n.endif\n http-request deny if a\n"
    text += " stick-table type ip size 1 expire 1s\n stick on src if a\n"
    (service,) = imported(text).document["services"]
    assert "http_request" not in service and "stick" not in service
    assert service["extra"][1:4] == ["acl a src 10.0.0.1", ".endif", "http-request deny if a"]


@pytest.mark.parametrize(
    "asked",
    [
        ["option httpchk GET /", 'http-check expect string "OK"'],
        ["option httpchk OPTIONS /", "http-check expect ! string no"],
        ["option httpchk", "http-check send meth GET uri /a hdr X y"],
        ["option httpchk", "http-check connect port 81", "http-check send meth GET", "http-check expect status 200"],
        ["option httpchk HEAD /x", "http-check disable-on-404"],
    ],
)
def test_a_check_asks_the_same(asked: list[str]) -> None:
    result = imported("listen l\n bind :1\n mode http\n server s 192.0.2.1:80 check\n" + "\n".join(asked))
    lines = [
        line.strip() for line in result.rendered.split("listen l")[1].split("\n") if "chk" in line or "http-ch" in line
    ]
    assert result.whole and lines == asked


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


def test_a_file_of_hactls_own() -> None:
    first = imported("listen x\n bind 127.0.0.1:80\n" + SERVERS)
    assert imported(first.rendered).document["services"] == first.document["services"]
    assert "frontend hactl-exporter" not in str(imported("frontend hactl-exporter\n bind 10.0.0.1:8405\n").document)


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
