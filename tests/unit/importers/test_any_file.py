"""Whatever a file of HAProxy's holds: nothing is lost, and what was rendered is imported to the same.

The files are made of directives of every kind, written in every way that HAProxy reads. That a directive is found
again is looked for by its words here, apart from the product's own comparing.
"""

from __future__ import annotations

import random
import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hactl.config.load import parse_cluster
from hactl.config.yaml_tree import read_yaml
from hactl.haproxy.split_words import split_line
from hactl.haproxy.words import SECTIONS
from hactl.importers.haproxy.compare import missing
from hactl.importers.haproxy.imported import import_text
from hactl.importers.haproxy.source import read_source
from hactl.importers.haproxy.written import as_yaml
from tests.support.examples import examples

COMMON = r"""
mode http
mode tcp
log global
no log
log 127.0.0.1 local0
retries 2
option dontlognull
no option dontlognull
option redispatch
option redispatch 1
option httplog
option tcplog
timeout client 5000
timeout server 1m
timeout connect 100us
timeout queue 30s
timeout check 2s
timeout http-request 10s
maxconn 2000
balance leastconn
balance hdr(host)
balance uri depth 2
hash-type consistent
option http-server-close
option httpclose
option forwardfor
option srvtcpka
option allbackups
option abortonclose
errorfile 503 "/dev/null"
log-format "%ci \"%r\""
fullconn 9
option httpchk GET /x
option httpchk
option tcp-check
http-check expect status 200
option ldap-check
http-check send meth GET uri /y ver HTTP/1.1 hdr Host h
tcp-check send "PING\r\n"
option smtpchk
default-server inter 2s
default-server check fall 5 weight 3
default-server ssl verify none
backlog 9
""".strip().splitlines()
RULES = r"""
acl a path_beg /x
acl b src 10.0.0.0/8 # in
acl a hdr(host) -i "x y"
http-request deny if a b
http-request set-header X %[src] if { path /a }
http-response del-header Server
tcp-request inspect-delay 5s
redirect scheme https if a
capture request header Host len 9
http-request add-header Y "$HOME"
stats uri /s
stats enable
stats refresh 5
stats realm a\ b
monitor-uri /m
unique-id-format %ts
""".strip().splitlines()
BACK = r"""
cookie S insert indirect nocache
cookie S rewrite
stick-table type ip size 1k expire 30m
stick on src
use-server s0 if a
source 0.0.0.0
http-send-name-header X
option external-check
""".strip().splitlines()
WORDS = r"""
check
inter 2s
inter 1000
fall 3
rise 2
weight 5
backup
disabled
cookie c
maxconn 9
ssl verify none
send-proxy
port 81
slowstart 10s
on-marked-down shutdown-sessions
no-check
sni "str(x)"
observe layer4
source 10.0.0.1 usesrc client
mystery 1
agent-check agent-port 9
""".strip().splitlines()
GLOBALS = r"""
maxconn 100
nbthread 2
user nobody
hard-stop-after 30s
log /dev/log local0
chroot /var/empty
tune.bufsize 16384
setenv A "b c"
stats socket /run/x level admin
daemon
node here
stats timeout 9s
""".strip().splitlines()
OTHERS = [
    "peers p\n peer a 127.0.0.1:1",
    "userlist u\n user j password $5$ab$cd groups g\n group g",
    "cache c\n max-age 5",
]
ADDRESSES = ["127.0.0.1:{0}", "*:{0}", ":{0}", "[::1]:{0}", ":::{0}", "127.0.0.1:{0},[::1]:{0}", "unix@/run/s{0}"]


def lines_of(kinds: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(kinds), max_size=7)


@st.composite
def proxies(draw: st.DrawFn, index: int, backends: list[str]) -> str:
    kind = draw(st.sampled_from(["listen", "frontend", "backend"]))
    name = draw(st.sampled_from([f"p{index}", f"p{max(0, index - 1)}", f"a/{index}"]))
    lines = draw(lines_of([*COMMON, *RULES, *([] if kind == "frontend" else BACK)]))
    if kind != "backend":
        lines += ["bind " + draw(st.sampled_from(ADDRESSES)).format(8000 + index)] * draw(st.integers(0, 1))
    if kind != "frontend":
        for number in range(draw(st.integers(0, 3))):
            words = draw(st.lists(st.sampled_from(WORDS), max_size=4, unique=True))
            lines.append(f"server s{number} 192.0.2.{number}:80 " + " ".join(words))
        backends.append(name)
    if backends and kind != "backend":
        lines += draw(st.lists(st.sampled_from([f"default_backend {backend}" for backend in backends]), max_size=1))
    lines = draw(st.permutations(lines))
    if lines and draw(st.integers(0, 5)) == 0:
        at = draw(st.integers(0, len(lines) - 1))
        lines = [*lines[:at], ".if feature(X)", lines[at], ".else", "option nolinger", ".endif", *lines[at + 1 :]]
    return "\n".join([f"{kind} {name}", *lines])


@st.composite
def files(draw: st.DrawFn) -> str:
    parts = []
    backends: list[str] = []
    if draw(st.booleans()):
        parts.append("\n".join(["global", *draw(lines_of(GLOBALS))]))
    for index in range(draw(st.integers(1, 4))):
        if draw(st.integers(0, 2)) == 0:
            head = draw(st.sampled_from(["defaults", f"defaults d{index}", "defaults d"]))
            parts.append("\n".join([head, *draw(lines_of(COMMON))]))
        if draw(st.integers(0, 3)) == 0 and index == 1:
            parts.append(draw(st.sampled_from(OTHERS)))
        parts.append(draw(proxies(index, backends)))
    return untidy("\n".join(parts), draw(st.integers(0, 2**32)))


def untidy(text: str, seed: int) -> str:
    """The same, with other spaces, comments and empty lines."""
    chance = random.Random(seed)
    lines = []
    for line in text.split("\n"):
        words = [word.raw for word in split_line(line)]
        lines.append(chance.choice(["", "  ", "\t"]) + chance.choice([" ", "\t ", "   "]).join(words))
        lines[-1] += chance.choice(["", "", " # why", "#", "  "])
        lines += [""] * chance.randint(0, 1)
    return "\n".join(lines) + "\n"


def plainly(text: str) -> str:
    """All words, durations in ms, so that a directive can be looked for."""
    text = re.sub(r"\b(\d+)s\b", lambda match: f"{match[1]}000", text)
    text = re.sub(r"\b(\d+)m\b", lambda match: f"{int(match[1]) * 60}000", text)
    return re.sub(r"(\d)ms\b", r"\1", text)


@settings(max_examples=examples(80), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(files())
def test_nothing_is_lost(text: str) -> None:
    result = import_text(text, "x.cfg")
    listed = {note.line for note in result.notes if note.fate in ("left", "lost")}
    there = set(plainly(result.rendered).split())
    for section, line in read_source(text, "x.cfg", SECTIONS).directives():
        if line.number not in listed:
            words = [word.raw for word in line.words if line.keyword not in ("bind", "server")]
            absent = [word for word in plainly(" ".join(words)).split() if word not in there]
            assert not absent, (section and section.title, line.text, absent, result.notes)
    assert result.whole, [str(note) for note in result.notes]


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(files())
def test_what_was_rendered_is_imported_to_the_same(text: str) -> None:
    first = import_text(text, "x.cfg")
    again = import_text(first.rendered, "x.cfg")
    assert again.document["services"] == first.document["services"] and again.whole
    assert again.document["haproxy"].get("sections") == first.document["haproxy"].get("sections")
    written = as_yaml(first)
    assert read_yaml(written, "x").data == first.document
    parse_cluster("cluster: demo\nnodes: [{name: n1, address: 10.0.0.11}]\n" + written)


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(files(), st.randoms(use_true_random=False))
def test_a_line_that_is_taken_out_of_the_result_is_missed(text: str, chance: random.Random) -> None:
    rendered = import_text(text, "x.cfg").rendered
    original = read_source(rendered, "x", SECTIONS)
    lines = rendered.splitlines()
    places = [line.number - 1 for section in original.sections for line in section.lines]
    place = chance.choice(places)
    shorter = "\n".join(lines[:place] + lines[place + 1 :])
    if lines[place].split()[0].startswith("."):
        return
    without = read_source(shorter, "x", SECTIONS)
    lost = missing(original, without, {})
    assert lost, lines[place]
