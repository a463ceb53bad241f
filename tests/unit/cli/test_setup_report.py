"""What `hactl setup` says, for people and for programs."""

from __future__ import annotations

import json

import pytest

from hactl.cli.setup import Report
from hactl.setup.files import Change


def said(capsys: pytest.CaptureFixture[str], *lines: str, check: bool = False, as_json: bool = False) -> list[str]:
    """Standard output, then standard error."""
    report = Report(check=check, as_json=as_json)
    for line in lines:
        report.say(line)
    report.end()
    return list(capsys.readouterr())


def test_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "unchanged  a", Change("written    b")) == ["unchanged  a\nwritten    b\n", ""]
    check = "nothing is changed; without --check:\n"
    assert said(capsys, Change("written    b"), check=True) == [f"{check}written    b\n", ""]
    assert said(capsys, "unchanged  a", check=True) == [f"{check}unchanged  a\nno change\n", ""]


@pytest.mark.parametrize("check", [False, True])
def test_for_programs_only_the_object_is_on_standard_output(capsys: pytest.CaptureFixture[str], check: bool) -> None:
    out, err = said(capsys, "unchanged  a", Change("written    b"), check=check, as_json=True)
    assert json.loads(out) == {"changed": True, "changes": ["written    b"]}
    assert err == "unchanged  a\nwritten    b\n"
    out, _ = said(capsys, "unchanged  a", check=check, as_json=True)
    assert json.loads(out) == {"changed": False, "changes": []}
