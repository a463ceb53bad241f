"""docs/troubleshooting.md has every warning of `hactl status`, by its words, and every alert, by its name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[3]
STATUS = ROOT / "hactl" / "status"
PAGE = ROOT / "docs" / "troubleshooting.md"
MODULES = (
    "warnings",
    "service_warnings",
    "resource_warnings",
    "namesake_warnings",
    "node_checks",
    "planned",
    "clone_warnings",
    "etcd/membership",
    "etcd/strain",
    "etcd/judge",
    "unreadable",
)


def plain(text: str) -> str:
    """Without what marks code, and in one line."""
    return re.sub(r"\s+", " ", text.replace("`", "").replace("'", ""))


def texts(node: ast.AST) -> Iterator[str]:
    """The longest piece of each text below, which no name or number interrupts."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.JoinedStr):
            yield max((str(part.value) for part in inner.values if isinstance(part, ast.Constant)), key=len, default="")
            return
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value
            return


def warnings(module: str) -> Iterator[str]:
    """Of `yield level, text, todo` and of `text = ...`."""
    tree = ast.parse((STATUS / f"{module}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "text":
            yield from texts(node.value)
        elif isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 3:
            yield from texts(node.value.elts[1])


WARNINGS = sorted({piece.strip() for module in MODULES for piece in warnings(module) if len(piece.split()) > 1})


def test_there_are_warnings() -> None:
    assert len(WARNINGS) > 50


@pytest.mark.parametrize("words", WARNINGS)
def test_a_warning_is_found_by_its_words(words: str) -> None:
    assert plain(words).strip(" :;,(") in plain(PAGE.read_text(encoding="utf-8"))


def alerts() -> list[str]:
    rules = YAML(typ="safe").load((ROOT / "deploy/prometheus/alerts.yaml").read_text(encoding="utf-8"))
    return [rule["alert"] for group in rules["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("alert", alerts())
def test_an_alert_is_found_by_its_name(alert: str) -> None:
    assert f"`{alert}`" in PAGE.read_text(encoding="utf-8")
