"""The roles of deploy/ansible: each variable has a default, a description and a line in docs/ansible.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
ANSIBLE = ROOT / "deploy/ansible"
ROLES = ("hactl", "hactl_monitoring")
LINE = re.compile(r"^\| (`hactl_[^|]*) \| ([^|]*) \| [^|]+ \|$", re.MULTILINE)


def read(path: str) -> Any:
    return YAML(typ="safe").load((ANSIBLE / path).read_text(encoding="utf-8"))


def documented() -> dict[str, str]:
    """Every variable with its default, as the page has them."""
    page = (ROOT / "docs/ansible.md").read_text(encoding="utf-8")
    lines = [(re.findall(r"`(\w+)`", names), default) for names, default in LINE.findall(page)]
    defaults: dict[str, str] = {}
    for names, text in lines:
        given = text.split(", ")
        defaults |= dict(zip(names, given if len(given) == len(names) else [text] * len(names), strict=True))
    return defaults


@pytest.mark.parametrize("role", ROLES)
def test_variables(role: str) -> None:
    entries = read(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]
    specified, defaults = entries["main"]["options"], read(f"roles/{role}/defaults/main.yml")
    assert all(entry["options"] == specified for entry in entries.values())
    assert specified.keys() == {*defaults, *(name for name in specified if specified[name].get("required"))}
    assert specified.keys() == {name for name in documented() if name in specified}


def test_the_page_has_no_others_and_tells_their_defaults() -> None:
    defaults = {name: value for role in ROLES for name, value in read(f"roles/{role}/defaults/main.yml").items()}
    page = documented()
    assert page.keys() == {*defaults, "hactl_cluster"}
    for name, value in defaults.items():
        plain = str(value).lower() if isinstance(value, bool) else str(value).replace("'", "")
        is_template = "{{" in plain
        assert is_template or page[name] in (f"`{plain or chr(34) * 2}`", "none"), name


def test_entry_points_are_there() -> None:
    entries = read("roles/hactl/meta/argument_specs.yml")["argument_specs"]
    assert all((ANSIBLE / f"roles/hactl/tasks/{name}.yml").is_file() for name in entries)
    plays = read("site.yml")
    used = {task["ansible.builtin.import_role"]["tasks_from"] for play in plays for task in play.get("tasks", [])}
    assert used | {"main"} == entries.keys()


def test_the_example_names_the_groups_and_variables_that_there_are() -> None:
    inventory = read("inventory.example.yml")
    hosts = {play["hosts"] for play in read("site.yml")}
    assert inventory.keys() - {"all"} == {group for pattern in hosts for group in pattern.split(":")}
    text = (ANSIBLE / "inventory.example.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\b(hactl_\w+):", text)) - inventory.keys() <= documented().keys()
