"""HAProxy accepts the import of a file that it accepts: files made of lines that name others or need an order.

The lines are such that HAProxy accepts nearly every file; the others are left out.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from hactl.config.load import check_text
from hactl.haproxy.control.files import NOTHING_KNOWN, find_haproxy
from hactl.importers.haproxy.commands import import_haproxy
from hactl.importers.haproxy.imported import import_text, render_for_check

CLUSTER = """\
cluster: demo
nodes: [{name: n1, address: 10.0.0.1}, {name: n2, address: 10.0.0.2}]
"""
NAMES = ("api", "web", "api-front", "x.y")
OTHERS = """\
resolvers names
    nameserver one 127.0.0.1:53
http-errors own
    errorfile 503 /dev/null
ring kept
    size 32768
program beside
    command /bin/sleep 9
backend tables
    stick-table type ip size 1k expire 1m
"""
RULES = """\
acl inside src 10.0.0.0/8
acl inside dst_port 80
acl some nbsrv(web) gt 0
tcp-request inspect-delay 5s
tcp-request content track-sc0 src table tables if inside
http-request deny if some !inside
http-request set-header X "a # b"
http-request set-header Y '%[src]' unless inside
http-response set-header Z ${HOME} if { src 10.0.0.1 }
redirect location /q if inside
errorfiles own
stats uri /s
option httplog
log ring@kept local0
""".strip().split("\n")
BACK = """\
balance source
option redispatch
stick-table type ip size 1k expire 3m
stick on src if inside
stick match src table tables unless inside
use-server s0 if inside
default-server inter 3s weight 0
option httpchk GET /
http-check expect string "O K"
http-check send hdr A b
option mysql-check
retries 2
cookie S insert
""".strip().split("\n")
WORDS = (
    "check",
    "weight 0",
    "weight 7",
    "backup",
    "disabled",
    "resolvers names",
    "track web/s0",
    "track s0",
    "no-check",
)
DEFAULTS = ("mode http", "mode http", "mode tcp", "default-server weight 0", "option httpchk GET /d", "balance source")


@st.composite
def proxies(draw: st.DrawFn, kind: str, name: str, index: int) -> str:
    lines = draw(st.lists(st.sampled_from(RULES + BACK * (kind != "frontend")), max_size=7, unique=True))
    if "stick on src if inside" in lines:
        lines.append(BACK[2])
    if any("inside" in line or "some" in line for line in lines):
        lines += RULES[:3]
    lines = draw(st.permutations(sorted(set(lines))))
    if kind != "frontend":
        lines += [
            f"server s{number} {draw(st.sampled_from(['10.0.0.1', '10.0.0.2', '192.0.2.9']))}:80 "
            + " ".join(draw(st.lists(st.sampled_from(WORDS), max_size=2, unique=True)))
            for number in range(draw(st.integers(1, 2)))
        ]
    # A condition stands before the lines that name it.
    lines.sort(key=lambda line: not line.startswith("acl"))
    if lines and draw(st.integers(0, 4)) == 0:
        lines = [".if defined(HOME)", lines[0], ".endif", *lines[1:]]
    if kind != "backend":
        address = draw(st.sampled_from(["*", "", "::", "127.0.0.1", "[::1]"]))
        lines = [f"bind {address}:{8000 + draw(st.sampled_from([index, 0]))}", *lines]
        lines += [f"use_backend {draw(st.sampled_from(NAMES[:2]))} if TRUE"] * draw(st.integers(0, 1))
        lines += [f"default_backend {draw(st.sampled_from(NAMES[:2]))}"] * (kind == "frontend")
    return "\n    ".join([f"{kind} {name}", *lines])


@st.composite
def files(draw: st.DrawFn) -> str:
    kinds = [("backend", "api"), ("backend", "web")]
    kinds += [(draw(st.sampled_from(["frontend", "frontend", "listen"])), name) for name in NAMES]
    parts = [draw(proxies(kind, name, index)) for index, (kind, name) in enumerate(draw(st.permutations(kinds)), 1)]
    times = ["timeout client 5s", "timeout server 5s", "timeout connect 5s"]
    defaults = ["defaults", *times, *draw(st.lists(st.sampled_from(DEFAULTS), max_size=3))]
    return "\n".join(["global", "    master-worker", OTHERS, "\n    ".join(defaults), *parts, ""])


def takes(text: str, place: Path) -> str:
    health, file = place / "health", place / "haproxy.cfg"
    health.write_text(NOTHING_KNOWN)
    file.write_text(text.replace("/run/hactl/haproxy/haproxy.health", str(health)))
    argv = [find_haproxy("haproxy"), "-W", "-c", "-f", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else done.stderr


@settings(
    max_examples=25,
    # Making a failing file smaller would ask HAProxy a thousand times.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(files())
def test_haproxy_accepts_the_import_of_a_file_that_it_accepts(text: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        assume(not takes(text, place))
        imported = import_text(text, "x.cfg")
        assert imported.whole and takes(imported.rendered, place) == ""
        (place / "in.cfg").write_text(text)
        (place / "cluster.yaml").write_text(CLUSTER)
        done = import_haproxy([place / "in.cfg"], place / "cluster.yaml")
        assert takes(render_for_check(check_text(done.yaml, "cluster.yaml").spec), place) == ""
