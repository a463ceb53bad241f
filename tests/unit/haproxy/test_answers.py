"""What HAProxy's answers, files and messages are read as. The answers are those of a real HAProxy 2.6."""

from __future__ import annotations

from pathlib import Path

import pytest

from hactl.haproxy.control.binds import allow_nonlocal_bind
from hactl.haproxy.control.files import alerts
from hactl.haproxy.control.keeper import restart_delay_s
from hactl.haproxy.control.runtime import Processes, parse_processes, parse_server_states
from hactl.haproxy.diff.parse import read_binds, sections
from hactl.haproxy.settings import HaproxyError
from tests.support.haproxy_servers import ServerLine, read_servers

SHOW_PROC = """\
#<PID>          <type>          <reloads>       <uptime>        <version>      
14883           master          3 [failed: 1]   0d00h00m16s     2.6.12-1+deb12u4
# workers
15187           worker          0               0d00h00m00s     2.6.12-1+deb12u4
# old workers
14985           worker          1               0d00h00m07s     2.6.12-1+deb12u4
14886           worker          2               0d00h00m15s     2.6.12-1+deb12u4
# programs

"""  # noqa: W291

FIELDS = "pxname,svname,scur,status,weight,act,lastchg,type,check_status,last_chk,check_desc,addr,"

SHOW_STAT = f"""\
# {FIELDS}
web,FRONTEND,0,OPEN,,,,0,,,,,
web,a,4,UP,1,1,12,2,L4OK,,Layer4 check passed,10.0.0.1:8080,
web,b,0,DOWN,1,0,3,2,* L4TOUT,"no, answer",Layer4 timeout,10.0.0.2:8080,
web,BACKEND,0,UP,1,1,0,1,,,,,

"""


def test_the_masters_processes() -> None:
    assert parse_processes(SHOW_PROC) == Processes(14883, 3, 1, (15187,), (14985, 14886))


def test_the_masters_processes_before_there_were_failure_counts() -> None:
    text = SHOW_PROC.replace(" [failed: 1]", "").replace("# old workers\n", "")
    assert parse_processes(text).failed == 0


@pytest.mark.parametrize("text", ["", "Unknown command: 'show proc'\n"])
def test_an_answer_that_is_none(text: str) -> None:
    with pytest.raises(HaproxyError):
        parse_processes(text)
    with pytest.raises(HaproxyError):
        parse_server_states("pxname,svname\nweb,a\n")


def test_server_states() -> None:
    a, b = parse_server_states(SHOW_STAT)
    assert (a.proxy, a.server, a.address, a.status, a.up) == ("web", "a", "10.0.0.1:8080", "UP", True)
    assert (a.sessions, a.active, a.detail) == (4, True, "Layer4 check passed")
    assert (b.up, b.active, b.check, b.detail, b.changed_s) == (False, False, "L4TOUT", "no, answer", 3)


def test_servers_of_a_file_that_pyhaproxy_alone_refuses() -> None:
    text = """
resolvers dns
    nameserver one 10.0.0.1:53
listen web
    bind :80,[::]:80
    server a 10.0.0.1:8080 backup weight 3
    # server gone 10.0.0.9:80
    server six [fd00::6]:8080 check
    server named a.example.org:8080
    server same-port 10.0.0.3
backend other
    server unix /run/other.sock
frontend f
    bind 10.0.0.30:1-9 ssl crt /x
"""
    assert read_servers(text) == {
        "web": [
            ServerLine("a", "10.0.0.1", 8080, ("backup", "weight", "3")),
            ServerLine("six", "fd00::6", 8080, ("check",)),
            ServerLine("named", "a.example.org", 8080),
            ServerLine("same-port", "10.0.0.3", None),
        ],
        "other": [ServerLine("unix", "/run/other.sock", None)],
    }
    assert read_binds(text) == {"web": [":80", "[::]:80"], "f": ["10.0.0.30:1-9"]}
    assert [section.kind for section in sections(text)] == ["resolvers", "listen", "backend", "frontend"]


def test_what_else_haproxy_is_bound_to() -> None:
    """A file that only takes logs is one to run with, and VIPs are bound by other protocols, too."""
    text = """\
log-forward logs
    dgram-bind 10.0.0.30:514
    bind 10.0.0.30:514
frontend logs
    bind quic4@10.0.0.30:443 ssl crt /x
    bind [::]:80 v6only
    bind\t10.0.0.31:80 namespace blue
"""
    assert read_binds(text) == {
        "logs": [
            "udp@10.0.0.30:514",
            "10.0.0.30:514",
            "quic4@10.0.0.30:443",
            "v6only@[::]:80",
            "namespace@10.0.0.31:80",
        ]
    }


def test_haproxys_own_words() -> None:
    output = """\
[NOTICE]   (1) : haproxy version is 2.6.12
[ALERT]    (1) : config : parsing [x:3] : unknown keyword 'bond' in 'listen' section
[ALERT]    (1) : config : Error(s) found in configuration file : x
[ALERT]    (1) : config : Fatal errors found in configuration.
"""
    assert alerts(output) == "config : parsing [x:3] : unknown keyword 'bond' in 'listen' section"
    assert alerts("") == "it does not say why"


def kernel(root: Path, **values: str) -> str:
    for version, value in values.items():
        file = root / "net" / version / "ip_nonlocal_bind"
        file.parent.mkdir(parents=True)
        file.write_text(value)
    return str(root)


def test_nonlocal_bind_is_allowed_for_the_families_that_need_it(tmp_path: Path) -> None:
    root = kernel(tmp_path, ipv4="0\n", ipv6="0\n")
    assert allow_nonlocal_bind(["*:80", "[::]:80", "127.0.0.1:80", "[::1]:80", "name:80", "/run/s"], True, root) == []
    assert allow_nonlocal_bind(["10.0.0.30:80"], True, root) == ["net.ipv4.ip_nonlocal_bind"]
    assert allow_nonlocal_bind(["10.0.0.30:80", "[fd00::30]:80"], True, root) == ["net.ipv6.ip_nonlocal_bind"]
    assert allow_nonlocal_bind(["10.0.0.30:80", "[fd00::30]:80"], True, root) == []


@pytest.mark.parametrize("bind", ["udp@10.0.0.30:514", "quic4@10.0.0.30:443", "ipv4@10.0.0.30:80"])
def test_nonlocal_bind_is_allowed_for_every_protocol(tmp_path: Path, bind: str) -> None:
    root = kernel(tmp_path, ipv4="0\n")
    others = ["namespace@10.0.0.30:80", "unix@/run/s:1", "udp@*:514", "ipv6@:80", "ipv6@*:80"]
    assert allow_nonlocal_bind(others, True, root) == []
    assert allow_nonlocal_bind([bind], True, root) == ["net.ipv4.ip_nonlocal_bind"]


def test_nonlocal_bind_is_refused_with_the_mend(tmp_path: Path) -> None:
    root = kernel(tmp_path, ipv4="0\n")
    with pytest.raises(HaproxyError, match=r"sysctl -w net\.ipv4\.ip_nonlocal_bind=1"):
        allow_nonlocal_bind(["10.0.0.30:80"], False, root)
    assert (tmp_path / "net/ipv4/ip_nonlocal_bind").read_text() == "0\n"
    with pytest.raises(HaproxyError, match=r"net\.ipv6\.ip_nonlocal_bind cannot be read"):
        allow_nonlocal_bind(["[fd00::30]:80"], True, root)


def test_quick_ends_are_followed_by_longer_waits() -> None:
    delays = [restart_delay_s(ends) for ends in range(20)]
    assert delays[:3] == [0.0, 0.0, 0.0]
    assert delays == sorted(delays)
    assert delays[-1] == delays[-2] > 1
