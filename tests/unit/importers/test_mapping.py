"""Which directives of a proxy become settings and which stay words; nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.haproxy_import import imported, notes


def service(lines: str, head: str = "listen x\n bind 127.0.0.1:80\n") -> dict[str, Any]:
    result = imported(head + lines)
    assert result.whole, result.notes
    assert len(result.document["services"]) == 1, result.notes
    made: dict[str, Any] = result.document["services"][0]
    return made


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


def test_a_file_of_hactls_own() -> None:
    first = imported("listen x\n bind 127.0.0.1:80\n server a 192.0.2.1:80\n server b 192.0.2.2:80\n")
    assert imported(first.rendered).document["services"] == first.document["services"]
    assert "frontend hactl-exporter" not in str(imported("frontend hactl-exporter\n bind 10.0.0.1:8405\n").document)
