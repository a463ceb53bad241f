"""What the HAProxy that is installed says of a configuration, at its place in cluster.yaml."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest

from hactl.admin.config import Report, check_file
from hactl.haproxy.diff.refusals import refusals
from hactl.haproxy.settings import HaproxySettings
from tests.support.scene import CLUSTER

SERVICE = """\
  - name: raw
    binds: ["10.0.0.30:6000"]
    port: 6000
    mode: http
"""


def check(tmp_path: Path, text: str, node: str = "n1", binary: str = "haproxy") -> Report:
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    return check_file(file, node=node, haproxy=HaproxySettings("/run/hactl/haproxy", binary))


def test_where_no_haproxy_is_installed_that_is_said_and_nothing_is_refused(tmp_path: Path) -> None:
    report = check(tmp_path, CLUSTER + SERVICE + "    extra: [thisisnothaproxy]\n", binary="no-such-haproxy")
    assert report.ok
    assert report.notes == (
        "note: HAProxy was not asked whether it takes this: no-such-haproxy is not installed: install the package "
        "haproxy (2.4 or later)",
    )


def test_every_alert_is_kept_with_its_line() -> None:
    text = "global\n    daemon\n\nlisten a\n    bind *:1\n    nonsense\n"
    output = (
        "[NOTICE]   (1) : haproxy version is 2.6.12\n"
        "[WARNING]  (1) : config : parsing [/tmp/x:5] : a warning\n"
        "[ALERT]    (1) : config : parsing [/tmp/x:6] : unknown keyword 'nonsense' in 'listen' section\n"
        "[ALERT]    (1) : config : Error(s) found in configuration file : /tmp/x\n"
        "[ALERT]    (1) : [/usr/sbin/haproxy.main()] Cannot find group id for 'x' (Success)\n"
        "[ALERT]    (1) : config : Fatal errors found in configuration.\n"
    )
    first, second = refusals(text, output)
    assert (first.line, first.section) == ("nonsense", "a")
    assert first.words == "unknown keyword 'nonsense' in 'listen' section"
    assert second.of_the_machine and not first.of_the_machine


def test_where_there_is_no_room_for_a_file_haproxy_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    report = check(tmp_path, CLUSTER + SERVICE, binary="true")
    assert report.ok and "was not asked" in report.notes[0] and "No space left on device" in report.notes[0]
