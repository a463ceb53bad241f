"""Parameters against an agent's metadata."""

from __future__ import annotations

from typing import Any

import pytest

from hactl.model.resources import OcfOptions
from hactl.resources.ocf import parameters
from hactl.resources.ocf.metadata import parse
from tests.unit.resources.ocf.test_metadata import XML

METADATA = parse(XML)
GOOD = {"ip": "192.0.2.1", "fast": "ON", "mode": "B", "wait": "20s"}


def said(given: dict[str, str], **more: Any) -> list[tuple[str, str, bool]]:
    problems = parameters.check("test:rack", METADATA, OcfOptions("test:rack", given, **more))
    return [(problem.name, str(problem), problem.refused) for problem in problems]


def test_good_parameters_have_no_problem() -> None:
    assert said(GOOD) == []
    assert said({**GOOD, "trace_ra": "1"}) == [], "of the agents' library"
    assert said({"fast": "true"}, secrets={"ip": "/etc/ip"}) == [], "given by a file"
    assert said({**GOOD, "fast": ""}) == [], "an empty value is none"


@pytest.mark.parametrize(
    ("changes", "name", "says"),
    [
        ({"mod": "a"}, "mod", "test:rack has no parameter `mod`; did you mean `mode`?"),
        ({"zzz": "a"}, "zzz", "has no parameter `zzz`; `hactl resource describe test:rack` shows its parameters"),
        ({"fast": "maybe"}, "fast", "parameter `fast`: `maybe` is neither true nor false"),
        ({"mode": "c"}, "mode", "parameter `mode`: `c` is none of a, b"),
        ({"wait": "long"}, "wait", "parameter `wait`: `long` is not a time"),
        ({"ip": ""}, "ip", 'test:rack needs the parameter `ip`; "Where it is"'),
    ],
)
def test_what_is_wrong_is_refused_with_a_hint(changes: dict[str, str], name: str, says: str) -> None:
    ((where, text, refused),) = said({**GOOD, **changes})
    assert (where, refused) == (name, True)
    assert says in text


def test_a_needed_parameter_that_was_misspelt_is_one_problem() -> None:
    assert [name for name, _, _ in said({"ipp": "192.0.2.1"})] == ["ipp"]


def test_a_secret_in_plain_text_is_refused_and_not_told() -> None:
    ((name, text, refused),) = said({**GOOD, "admin_password": "hunter2"})
    assert (name, refused) == ("admin_password", True)
    assert "secrets: {admin_password: /etc/hactl/secrets/NAME}" in text and "hunter2" not in text
    assert said(GOOD, secrets={"admin_password": "/etc/x"}) == []


def test_an_old_parameter_is_a_warning() -> None:
    assert [(name, refused) for name, _, refused in said({**GOOD, "old": "x"})] == [("old", False)]


def test_an_unknown_secret_stands_under_secrets() -> None:
    (problem,) = parameters.check("test:rack", METADATA, OcfOptions("test:rack", GOOD, {"pass": "/etc/x"}))
    assert (problem.section, problem.name) == ("secrets", "pass")
