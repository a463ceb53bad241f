"""What `make audit` makes of pip-audit's report."""

from __future__ import annotations

from tools.audit import judge

CLEAN = {"name": "a", "version": "1", "vulns": []}
HOLE = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}
UNKNOWN = {"name": "c", "version": "3", "skip_reason": "not found"}


def test_a_hole_is_a_failure() -> None:
    lines, status = judge({"dependencies": [CLEAN, HOLE, UNKNOWN]})
    assert status == 1 and lines[0] == "b 2: CVE-1, fixed in 2.1"


def test_lookups_are_counted() -> None:
    assert judge({"dependencies": [CLEAN, UNKNOWN]}) == (["1 of 2 libraries audited: no known hole"], 0)


def test_without_data_it_says_so() -> None:
    assert judge({"dependencies": [UNKNOWN]}) == (["not audited: no data about known holes can be had here"], 0)
