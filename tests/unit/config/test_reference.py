"""The manual's tables are those of the schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from hactl.config.schema import Cluster
from tools.docs import configuration

PAGE = Path(__file__).parents[3] / configuration.PAGE


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == configuration.with_reference(page), "run `python -m tools.docs.configuration`"


def test_every_setting_is_in_it() -> None:
    text = configuration.reference()
    for name in ("cluster", "etcd_election", "hard_stop_after", "tunnel", "cwd", "etcd_password_file"):
        assert f"| `{name}` |" in text


def test_marks_are_needed() -> None:
    with pytest.raises(ValueError, match="lacks its marks"):
        configuration.with_reference("# Configuration\n")


def test_json_schema_demands_less_with_a_preset() -> None:
    parts = Cluster.model_json_schema()["$defs"]
    for name, needs in (("Service", ["name"]), ("Group", ["name", "resources"])):
        assert "required" not in parts[name]
        assert parts[name]["anyOf"] == [{"required": ["preset"]}, {"required": needs}]
        assert parts[name]["additionalProperties"] is False


def test_json_schema_names_durations_as_texts() -> None:
    lease = Cluster.model_json_schema()["$defs"]["TimingSettings"]["properties"]["lease"]
    assert {form["type"] for form in lease["anyOf"]} == {"string", "null"}
