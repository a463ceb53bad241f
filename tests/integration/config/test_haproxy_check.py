"""Objections of the installed HAProxy to a configuration, at their place in cluster.yaml."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.scene import CLUSTER
from tests.unit.config.test_haproxy_check import SERVICE, check

SBIN = "/usr/local/sbin:/usr/sbin:/usr/bin"

needs_haproxy = pytest.mark.skipif(not shutil.which("haproxy", path=SBIN), reason="needs haproxy")


@needs_haproxy
def test_a_line_that_haproxy_refuses_is_refused_at_its_place(tmp_path: Path) -> None:
    text = CLUSTER + SERVICE + "    extra:\n      - timeout client 5s\n      - thisisnothaproxy\n"
    report = check(tmp_path, text)
    assert not report.ok
    line = text.splitlines().index("      - thisisnothaproxy") + 1
    assert f"cluster.yaml:{line}:9: services[1].extra[1]: HAProxy refuses it: unknown keyword" in report.lines[0]
    assert check(tmp_path, text.replace("thisisnothaproxy", "timeout server 5s")).ok


@needs_haproxy
def test_a_problem_of_no_line_of_the_file_is_reported_for_its_service(tmp_path: Path) -> None:
    text = CLUSTER + SERVICE.replace("port: 6000", "port: 6000\n    extra: ['stick on src']")
    report = check(tmp_path, text)
    assert not report.ok
    assert "services[1]" in report.lines[0] and "stick" in report.lines[0]


@needs_haproxy
def test_a_name_that_does_not_resolve_is_a_warning(tmp_path: Path) -> None:
    text = CLUSTER + SERVICE + "    servers: [{name: far, address: far.invalid}]\n"
    report = check(tmp_path, text)
    assert report.ok
    assert any(line.startswith("warning:") and "could not resolve" in line for line in report.lines)


@needs_haproxy
@pytest.mark.parametrize(("node", "ok"), [("n1", False), ("elsewhere", True)])
def test_a_file_that_is_missing_is_refused_on_a_node_and_a_warning_elsewhere(
    tmp_path: Path, node: str, ok: bool
) -> None:
    text = CLUSTER + SERVICE.replace(
        '"10.0.0.30:6000"', '{address: "10.0.0.30:6000", tls: {certificates: [/no/such.pem]}}'
    )
    report = check(tmp_path, text, node)
    assert report.ok == ok
    assert any("/no/such.pem" in line for line in report.lines)


LOADS = ["lua-load {}", "lua-load-per-thread {}", "lua-load '{}'", '"lua-load" {}', "\\x6cua-load {}"]


@needs_haproxy
@pytest.mark.parametrize("line", LOADS)
def test_a_file_that_is_only_checked_runs_nobodys_code(tmp_path: Path, line: str) -> None:
    """HAProxy runs Lua while it reads its configuration, `-c` or not."""
    place = tmp_path / "open"
    place.mkdir()
    script, ran = place / "x.lua", tmp_path / "ran"
    script.write_text(f"io.open('{ran}', 'w'):close()\n")
    text = CLUSTER + SERVICE + f"haproxy:\n  extra_global: ['{line.format(script).replace(chr(39), chr(39) * 2)}']\n"
    place.chmod(0o777)
    report = check(tmp_path, text)
    assert not ran.exists()
    assert report.ok and "HAProxy was not asked whether it takes this: it would run code that others" in report.notes[0]
    place.chmod(0o755)
    if line == LOADS[0]:
        assert not check(tmp_path, text).notes
