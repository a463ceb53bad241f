"""What exit statuses and words mean."""

from __future__ import annotations

import pytest

from fencing.agents.verdict import Action, judge, last_words


@pytest.mark.parametrize(
    ("exit_status", "stdout", "stderr", "expected"),
    [
        (0, "Status: ON\n", "", ("ok", "on")),
        (0, "", "", ("ok", "on")),
        (2, "Status: OFF\n", "", ("ok", "off")),
        (2, "Status: OFF\n", "WARNING: slow\n", ("ok", "off")),
        (2, "", "", ("ok", "off")),
        (1, "Status: OFF\n", "", ("failed", "unknown")),
        (3, "", "", ("failed", "unknown")),
        (-9, "Status: OFF\n", "", ("failed", "unknown")),
        # The status says one thing, the words another.
        (0, "Status: OFF\n", "", ("failed", "unknown")),
        (2, "Status: ON\n", "", ("failed", "unknown")),
        (2, "Status: ON (off at 12:00)\n", "", ("failed", "unknown")),
        # 2 is also how shells, Python and grep end when they could not begin.
        (2, "", "sh: 0: cannot open fence_x: No such file", ("failed", "unknown")),
        (2, "usage: fence_x [-h]\n", "", ("failed", "unknown")),
        (2, "", "grep: /run/power: No such file or directory", ("failed", "unknown")),
    ],
)
def test_status(exit_status: int, stdout: str, stderr: str, expected: tuple[str, str]) -> None:
    verdict = judge("status", exit_status, stdout, stderr)
    assert (verdict.outcome, verdict.power) == expected
    assert verdict.detail


@pytest.mark.parametrize("action", ["on", "off", "reboot", "list", "metadata", "validate-all", "monitor"])
def test_others_see_no_power(action: Action) -> None:
    for exit_status in (0, 1, 2, 127, -15):
        verdict = judge(action, exit_status, "Success: Powered OFF\n", "")
        assert verdict.power == "unknown"
        assert (verdict.outcome == "ok") == (exit_status == 0 or (exit_status == 2 and action == "monitor"))


def test_monitor_of_a_device_that_is_off() -> None:
    assert judge("monitor", 2, "Status: OFF\n", "").outcome == "ok"
    assert judge("monitor", 2, "", "no such file").outcome == "failed"


def test_what_is_an_answer_is_no_remark() -> None:
    assert judge("metadata", 0, "</resource-agent>\n", "").detail == ""
    assert judge("on", 0, "Success: Powered ON\n", "").detail == "Success: Powered ON"


LIBRARY = """\
2026-01-31 12:00:00,123 ERROR: Unable to connect/login to fencing device


2026-01-31 12:00:00,124 ERROR: Please use '-h' for usage

"""
TRACEBACK = """\
Traceback (most recent call last):
  File "/usr/sbin/fence_x", line 3, in <module>
    import missing
ModuleNotFoundError: No module named 'missing'
"""


@pytest.mark.parametrize(
    ("stdout", "stderr", "expected"),
    [
        ("", LIBRARY, "Unable to connect/login to fencing device"),
        ("ignored", TRACEBACK, "ModuleNotFoundError: No module named 'missing'"),
        ("one\ntwo\n\n", "", "two"),
        ("", "\x1b[31mred\x07\n", "[31mred"),
        ("x" * 1000, "", "x" * 300),
        ("", "", ""),
    ],
)
def test_last_words(stdout: str, stderr: str, expected: str) -> None:
    assert last_words(stdout, stderr) == expected


def test_a_number_without_words() -> None:
    assert judge("off", 3, "", "").detail == "exit status 3: login refused"
    assert judge("off", 99, "", "").detail == "exit status 99: it does not say why"
    assert judge("off", -9, "", "").detail == "killed by signal 9"
