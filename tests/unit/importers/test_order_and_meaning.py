"""What means something else in another place, or beside another word: it stays as it was."""

from __future__ import annotations

import pytest

from hactl.haproxy.words import SECTIONS
from hactl.importers.haproxy.compare import missing
from hactl.importers.haproxy.imported import Imported, import_text
from hactl.importers.haproxy.members import adopt
from hactl.importers.haproxy.source import read_source

BACKEND = "defaults\n mode http\nbackend x\n"
FRONTEND = "defaults\n mode http\nlisten x\n bind 127.0.0.1:80\n"


def imported(text: str) -> Imported:
    result = import_text(text, "x.cfg")
    assert result.whole, result.notes
    return result


def section(result: Imported, title: str) -> list[str]:
    """The lines that hactl writes for it."""
    assert result.document["services"] and "sections" not in result.document["haproxy"]
    after = result.rendered.partition(f"\n{title}")[2]
    return [line.strip() for line in after.partition("\n\n")[0].split("\n")[1:]]


def lines(text: str, title: str) -> list[str]:
    return section(imported(text), title)


@pytest.mark.parametrize(
    ("head", "ordered"),
    [
        (FRONTEND, ["option tcplog", "option httplog"]),
        (FRONTEND, ['log-format "%ci"', "option httplog"]),
        (FRONTEND, ["option httpslog", "option httplog"]),
        (FRONTEND, ["option httplog clf", 'log-format "%ci"']),
        (FRONTEND, [".if defined(A)", 'log-format "%ci"', ".endif", "option httplog"]),
        (FRONTEND, ["capture request header Host len 9", "http-request capture src len 9"]),
        (FRONTEND, ["http-request capture src len 9", "tcp-request content capture src len 9"]),
        (FRONTEND, ["declare capture request len 9", "http-request capture src len 9"]),
        (BACKEND, ["stick-table type ip size 1k expire 1m", "stick match src table y", "stick on src"]),
        (BACKEND, ["server a 192.0.2.1:80", "server-template b 1-3 x.example:80", "server c 192.0.2.3:80"]),
        (BACKEND, [".if defined(A)", "server a 192.0.2.1:80 backup", ".endif", "server b 192.0.2.2:80 backup"]),
        (
            BACKEND,
            ["server b 192.0.2.2:80 backup", ".if defined(A)", "server a 192.0.2.1:80 backup", ".endif"],
        ),
        (BACKEND, ["option tcpka", "no option srvtcpka", "no option clitcpka"]),
    ],
)
def test_the_order_is_kept(head: str, ordered: list[str]) -> None:
    made = lines(head + "".join(f" {line}\n" for line in ordered), "listen x" if head == FRONTEND else "backend x")
    assert [line for line in made if line in ordered] == ordered


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("stick match src table y\n stick on src", "stick on src\n stick match src table y"),
        ("option tcplog\n option httplog", "option httplog\n option tcplog"),
        ("capture request header A len 9\n http-request capture src len 9",) * 2,
        ("server a 192.0.2.1:80 check\n server b 192.0.2.2:80", "server b 192.0.2.2:80\n server a 192.0.2.1:80 check"),
        ("bind :80 ssl crt /a crt /b", "bind :80 ssl crt /b crt /a"),
    ],
)
def test_another_order_is_seen(ours: str, theirs: str) -> None:
    if ours == theirs:
        theirs = "\n ".join(reversed(ours.split("\n ")))
    before, after = (read_source(f"listen x\n {text}\n", "x.cfg", SECTIONS) for text in (ours, theirs))
    assert not missing(before, before, {})
    assert missing(before, after, {})


def test_a_set_of_defaults_may_say_again_what_it_is_made_from() -> None:
    own = 'log-format "%ci"\n option httplog\n'
    text = f"defaults A\n mode http\n option httplog\ndefaults B from A\n {own}backend x from B\n"
    made = [line for line in lines(text, "defaults B") if "log" in line]
    assert made[-2:] == ['log-format "%ci"', "option httplog"]


def test_a_global_behind_other_sections_is_said_to_hold_before_them_too() -> None:
    text = 'backend x\n server a "$HOST":80\nglobal\n setenv HOST a\n setenv OTHER b\n crt-base /c\nbackend y\n'
    hints = [note.line for note in imported(text).notes if "before everything" in note.why]
    assert hints == [4, 6]
    assert not [
        note for note in imported("global\n crt-base /c\n" + text[:31]).notes if "before everything" in note.why
    ]


def test_the_first_certificate_stays_the_first() -> None:
    for words in ("crt-list /list crt /b.pem", "crt /b.pem crt-list /list", "crt /b.pem crt /a.pem"):
        made = lines(f"listen x\n bind 127.0.0.1:443 ssl {words}\n", "listen x")
        assert made[0] == f"bind 127.0.0.1:443 ssl {words}"


@pytest.mark.parametrize(
    "text",
    [
        "backend x\n server a 192.0.2.1:443 check check-ssl ssl ca-file /ca\n",
        "backend x\n server a 192.0.2.1:443 check check-ssl ssl ca-file /a\n"
        " server b 192.0.2.2:443 check check-ssl ssl ca-file /b\n",
        "defaults\n default-server ssl verify required ca-file /ca sni 'str(a)'\n"
        "backend x\n server a 192.0.2.1:443 check check-ssl\n",
        "defaults\n default-server ssl verify required ca-file /ca unknown\n"
        "backend x\n server a 192.0.2.1:443 check check-ssl\n",
    ],
)
def test_a_verified_server_is_verified_by_a_check_too(text: str) -> None:
    assert "verify none" not in imported(text).rendered


def test_kinds_of_the_proxy_protocol_add_up() -> None:
    made = lines("backend x\n default-server send-proxy-v2\n server a 192.0.2.1:80 send-proxy\n", "backend x")
    assert sorted(" ".join(made).split()[-2:]) == ["send-proxy", "send-proxy-v2"] or "send-proxy-v2" in made[0]
    made = lines("backend x\n default-server send-proxy-v2\n server a 192.0.2.1:80 no-send-proxy\n", "backend x")
    assert "send-proxy-v2" in " ".join(made).split()


def test_a_check_that_the_defaults_have_in_words_is_replaced() -> None:
    text = 'defaults\n option httpchk GET "/a b"\nbackend x\n option tcp-check\n server a 192.0.2.1:80 check\n'
    assert "option tcp-check" in lines(text, "backend x")


@pytest.mark.parametrize(
    ("parent", "own", "held"),
    [
        (
            ["option httpchk GET /a", "http-check expect status 201"],
            ["option httpchk GET /b", "http-check expect status 200"],
            ["option httpchk GET /b", "http-check expect status 200"],
        ),
        (
            ["option httpchk GET /a", "http-check expect status 201"],
            ["option httpchk GET /b"],
            ["option httpchk GET /b"],
        ),
        (
            ["option httpchk GET /a", "http-check disable-on-404", "http-check expect status 201"],
            ["http-check send meth GET uri /b"],
            ["option httpchk", "http-check disable-on-404", "http-check send meth GET uri /b"],
        ),
        (
            ["option tcp-check", "tcp-check send A", "tcp-check expect string B"],
            ["tcp-check connect"],
            ["option tcp-check", "tcp-check connect"],
        ),
        (
            ["option tcp-check", "tcp-check send A", "tcp-check expect string B"],
            ["option tcp-check"],
            ["option tcp-check", "tcp-check send A", "tcp-check expect string B"],
        ),
        (["option httpchk GET /a", "http-check expect status 201"], ["option mysql-check"], ["option mysql-check"]),
    ],
)
def test_a_set_of_defaults_has_the_steps_of_its_own_check(parent: list[str], own: list[str], held: list[str]) -> None:
    """As seen in HAProxy 2.6: a step, or another kind, forgets the steps of the set that it is made from."""
    first, second = ("".join(f" {line}\n" for line in steps) for steps in (parent, own))
    text = f"defaults A\n{first}defaults B from A\n{second}backend x from B\n"
    made = lines(text, "defaults B")
    assert sorted(line for line in made if "check" in line or "httpchk" in line) == sorted(held)


@pytest.mark.parametrize(
    "rule",
    [
        "use_backend %[fe_name]_bk",
        "http-request set-header X %f",
        "use_backend x if { fe_name x }",
    ],
)
def test_a_frontend_whose_name_is_looked_at_keeps_it(rule: str) -> None:
    text = f"defaults\n mode http\nfrontend x\n bind 127.0.0.1:80\n {rule}\n default_backend x\nbackend x\n"
    assert "\nfrontend x from" in imported(text).rendered


def test_the_statistics_page_of_some_proxies() -> None:
    text = "defaults\n mode http\nfrontend x\n bind :80\n default_backend x\nbackend x\nlisten s\n stats scope x\n"
    assert "\nfrontend x from" in imported(text).rendered


def test_a_check_with_a_host_and_more_than_a_status_is_in_lines() -> None:
    for asked in (
        "GET /h HTTP/1.1\\r\\nHost:\\ a.example",
        "\n http-check send meth GET uri /h ver HTTP/1.1 hdr Host a.example",
    ):
        result = imported(
            f"backend x\n option httpchk {asked}\n http-check expect string OK\n server a 192.0.2.1:80 check\n"
        )
        assert result.document["services"][0]["check"]["lines"] == [
            "http-check send meth GET uri /h ver HTTP/1.1 hdr Host a.example",
            "http-check expect string OK",
        ]


@pytest.mark.parametrize("line", ["http-send-name-header X", "server-template t 1-3 x.example:80"])
def test_nodes_stay_a_list_beside_other_servers_and_where_names_are_told(line: str) -> None:
    text = f"backend x\n {line}\n server a 192.0.2.1:80\n server b 192.0.2.2:80\n"
    result = imported(text)
    adopt(result.document, {"n1": "192.0.2.1", "n2": "192.0.2.2"})
    assert [server["node"] for server in result.document["services"][0]["servers"]] == ["n1", "n2"]


def test_no_line_has_more_words_than_haproxy_reads() -> None:
    first = "inter 1s rise 2 fall 3 fastinter 1s downinter 3s maxconn 3 maxqueue 4 slowstart 3s tcp-ut 4s check-sni a"
    other = "on-error mark-down observe layer7 error-limit 4 init-addr none max-reuse 4 pool-max-conn 4 pool-low-conn 1"
    more = (
        f"{other} pool-purge-delay 4s check-alpn h2 ciphers ALL ciphersuites X ssl-min-ver TLSv1.2 minconn 3 proto h2"
    )
    tls = "ssl verify none sni str(a) alpn h2 send-proxy on-marked-down shutdown-sessions"
    tls += " agent-check agent-port 9 agent-inter 3s agent-send x"
    text = "".join(f" default-server {words}\n" for words in (first, more, tls))
    made = lines(f"backend x\n{text} server a 192.0.2.1:80 check\n server b 192.0.2.2:80 check\n", "backend x")
    assert all(len(line.split()) <= 64 for line in made) and made[0].startswith("default-server check inter 1s")
