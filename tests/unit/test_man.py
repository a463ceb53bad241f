"""The manual pages have every command, option and setting, and are roff that troff does not misread."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest
import typer.main

from hactl.cli.app import app
from hactl.config.node import NodeConfig
from tools.docs.man import pages, roff

PAGES = pages()


def test_a_page_for_each_command() -> None:
    top: Any = typer.main.get_command(app)
    assert {f"hactl-{name}.1" for name in top.commands} <= PAGES.keys()
    for name in top.commands:
        assert f".BR hactl\\-{name} (1)" in PAGES["hactl.1"]


def test_subcommands_and_options() -> None:
    assert "hactl node standby" in PAGES["hactl-node.1"]
    assert "\\-\\-drain\\-timeout DURATION" in PAGES["hactl-node.1"]


def test_every_setting() -> None:
    for field in fields(NodeConfig):
        assert f".B {field.name}\n" in PAGES["hactl-node.toml.5"]
    for setting in ("suspect_after", "stop_budget", "binds", "overlap"):
        assert f".B {setting}\n" in PAGES["hactl-cluster.yaml.5"]


@pytest.mark.parametrize("name", PAGES)
def test_no_line_is_taken_for_a_request(name: str) -> None:
    known = {"B", "BR", "I", "SH", "SS", "TH", "TP", "PP", "br", "so"}
    requests = {match[1] for match in re.finditer(r"^[.'](\w*)", PAGES[name], re.MULTILINE)}
    assert requests <= known


def test_text_as_roff() -> None:
    assert roff(".profile of `a-b`\nit's C:\\x") == "\\&.profile of \\fBa\\-b\\fP\nit\\(aqs C:\\ex"
