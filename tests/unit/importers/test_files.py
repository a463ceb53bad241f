"""Files and directories as HAProxy takes them by `-f`, in any encoding."""

from __future__ import annotations

from pathlib import Path

import pytest

from hactl.config.errors import ConfigErrors
from hactl.config.yaml_tree import read_yaml
from hactl.importers.haproxy.commands import ImportResult, import_haproxy

DEFAULTS = "global\n maxconn 5\ndefaults\n mode http\n timeout client 9s\n"
LISTEN = "listen {0}\n bind 127.0.0.1:{1}\n server s 192.0.2.1:80\n weird\n"


def imported(place: Path, *names: str, **files: str) -> ImportResult:
    for name, text in files.items():
        file = place / name.replace("__", "/").replace("_cfg", ".cfg")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return import_haproxy([place / name for name in names])


def test_a_file_has_the_defaults_of_the_one_before(tmp_path: Path) -> None:
    done = imported(tmp_path, "z.cfg", "a.cfg", z_cfg=DEFAULTS, a_cfg=LISTEN.format("one", 1))
    data = read_yaml(done.yaml, "x").data
    assert data["services"][0]["defaults"] == "imported" and data["haproxy"]["defaults"]["imported"]["mode"] == "http"
    assert f"  {tmp_path}/a.cfg, line 4: `weird`" in done.report
    assert f"# {tmp_path}/a.cfg, line 1: listen one; word for word: line 4" in done.yaml


def test_files_of_a_directory_in_the_order_of_haproxy(tmp_path: Path) -> None:
    texts = {f"d__{name}": LISTEN.format(name[0], ord(name[0])) for name in ("b_cfg", "B_cfg", "a_cfg", "c.conf")}
    texts |= {"d__.d_cfg": "quatsch\n", "x_cfg": DEFAULTS}
    (tmp_path / "d/e.cfg").mkdir(parents=True)
    done = imported(tmp_path, "x.cfg", "d", **texts)
    assert [service["name"] for service in read_yaml(done.yaml, "x").data["services"]] == ["B", "a", "b"] and done.whole


def test_a_section_and_a_condition_end_with_their_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"b\.cfg:2:1: `.if` has no"):
        imported(tmp_path, "a.cfg", "b.cfg", a_cfg=DEFAULTS, b_cfg="listen b\n.if defined(X)\n")
    done = imported(tmp_path, "a.cfg", "b.cfg", a_cfg=DEFAULTS, b_cfg=" retries 2\n" + LISTEN.format("b", 1))
    assert (
        not done.whole and f"  {tmp_path}/b.cfg, line 1: `retries 2`: it stands before the first section" in done.report
    )
    with pytest.raises(ConfigErrors, match=r"b\.cfg:1:1: `from nothing`|names a set of defaults"):
        imported(tmp_path, "a.cfg", "b.cfg", a_cfg=DEFAULTS, b_cfg="listen b from nothing\n")


def test_no_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(ConfigErrors, match=r"has no file whose name ends in \.cfg"):
        imported(tmp_path, "d")


def test_proxies_behind_no_defaults_are_told_of(tmp_path: Path) -> None:
    done = imported(tmp_path, "a.cfg", a_cfg=LISTEN.format("a", 1))
    assert any("mode tcp, no timeouts" in line for line in done.report)
    assert not any("no timeouts" in line for line in imported(tmp_path, "b.cfg", b_cfg=DEFAULTS).report)


def test_bytes_that_are_no_utf_8_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(
        b"\xef\xbb\xbflisten a\r\n mode http\r\n # was\x85 server old 192.0.2.9:80\r\n"
        b" http-request set-header X caf\xe9\r\n http-request set-header Y 'caf\xe9'\r\n"
        b' http-request set-header Z "\xc3\xa9"\r\n bind :1\r\n server s 192.0.2.1:80\r\n'
    )
    done = import_haproxy([tmp_path / "a"])
    (service,) = read_yaml(done.yaml, "x").data["services"]
    wanted = [r"set-header X caf\xE9", r"set-header Y 'caf'\xE9''", 'set-header Z "é"']
    assert service["http_request"] == wanted and len(service["servers"]) == 1 and done.whole
