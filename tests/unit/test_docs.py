"""What the documents say is true: commands exist, generated pages are current, the examples of deploy/ load."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from hactl.cli.app import app
from hactl.config.etcd_snapshots import TIMER
from hactl.config.load import read_cluster
from hactl.config.node import load_node
from hactl.decide.timing import PROFILES
from hactl.lab import __main__ as lab
from tools.docs import metrics

ROOT = Path(__file__).parents[2]

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])

# In backquotes; or at the beginning of a line of a block, after a prompt or a path.
QUOTED = re.compile(r"`hactl ([a-z][^`#\n]*)")

BLOCK = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)

TYPED = re.compile(r"^ *(?:\w+# |\S*/)?hactl ([a-z][^#\n]*)", re.MULTILINE)

MAKE = re.compile(r"(?:^|`)make ([a-z][a-z-]*)", re.MULTILINE)

BOTH = ("deploy/examples/node.toml", "deploy/examples/cluster.yaml")


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def test_there_are_pages() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/protocol.md"} <= set(names(PAGES))


def unknown_to(command: Any, words: list[str]) -> str:
    """What the command line has no such command or option for; "" when all is known."""
    if words[0] == "fence" and re.fullmatch(r"NODE|n\d", "".join(words[1:2])):
        words = ["fence", "node", *words[1:]]
    if words[0] == "setup" and words[1:2] != ["join"]:
        words = ["setup", "cluster", *words[1:]]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        subcommand = command.commands.get(words[0])
        if subcommand is None:
            return words[0]
        command, words = subcommand, words[1:]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {
        "--help"
    }
    return next((word for word in words if word.startswith("-") and word.partition("=")[0] not in options), "")


def commands_in(text: str) -> Iterator[list[str]]:
    typed = [line for block in BLOCK.findall(text) for line in TYPED.findall(block)]
    for command in (*typed, *QUOTED.findall(BLOCK.sub("", text))):
        words = re.sub(r"'[^']*'", "", command).split()  # a command for another program
        # `hactl lab up|down`, `hactl is`: prose, or more than one, is cut at the first odd word.
        yield [word for word in words if re.fullmatch(r"[\w./|-]+", word)]


@pytest.mark.parametrize("name", names(PAGES))
def test_commands_exist(name: str) -> None:
    known = typer.main.get_command(app)
    parser = lab.parser()
    subparsers = next(action for action in parser._actions if action.choices)
    wrong = []
    for words in commands_in((ROOT / name).read_text()):
        if words[0] == "lab":
            wrong += [words[:2]] if len(words) > 1 and words[1] not in ("--help", *(subparsers.choices or ())) else []
        elif unknown_to(known, words):
            wrong.append(words)
    assert wrong == []


def test_a_command_that_is_not_there_is_found() -> None:
    known = typer.main.get_command(app)
    assert unknown_to(known, ["fail", "vip"]) == "fail"
    assert unknown_to(known, ["node", "away", "n1"]) == "away"
    assert unknown_to(known, ["failover", "vip", "--for-ever"]) == "--for-ever"
    assert unknown_to(known, ["failover", "vip", "--to", "n2"]) == ""


@pytest.mark.parametrize("name", names(PAGES))
def test_make_targets_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {match[1] for match in MAKE.finditer((ROOT / name).read_text())} <= targets


def test_metrics_page_is_up_to_date() -> None:
    page = (ROOT / metrics.PAGE).read_text(encoding="utf-8")
    assert page == metrics.page(), "run `python -m tools.docs.metrics`"


def test_examples_of_configuration() -> None:
    node, cluster = load_node(ROOT / BOTH[0]), read_cluster(ROOT / BOTH[1])
    assert node.cluster == cluster.spec.name
    assert node.node in [spec.name for spec in cluster.spec.nodes]
    assert [warning.problem for warning in cluster.warnings] == [] or all(str(warning) for warning in cluster.warnings)


def etcd_settings() -> dict[str, str]:
    lines = (ROOT / "deploy/etcd/etcd.default").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_etcds_settings_fit_the_profile() -> None:
    timing = read_cluster(ROOT / BOTH[1]).spec.timing
    settings = etcd_settings()
    assert timing == PROFILES["default"]
    assert float(settings["ETCD_ELECTION_TIMEOUT"]) == timing.etcd_election_ms
    assert float(settings["ETCD_ELECTION_TIMEOUT"]) >= 5 * float(settings["ETCD_HEARTBEAT_INTERVAL"])
    assert {word.partition("=")[0] for word in settings["ETCD_INITIAL_CLUSTER"].split(",")} == {"n1", "n2", "n3"}


UNITS = {
    "hactl.service": "deploy/systemd/hactl.service",
    "etcd.service": "deploy/etcd/hactl.conf",
    "hactl-etcd-snapshot.service": "deploy/systemd/hactl-etcd-snapshot.service",
    "hactl-etcd-snapshot.timer": "deploy/systemd/hactl-etcd-snapshot.timer",
}


def test_the_timer_makes_snapshots_by_a_command_that_is_there() -> None:
    text = (ROOT / UNITS["hactl-etcd-snapshot.service"]).read_text()
    (command,) = re.findall(r"^ExecStart=/opt/hactl/bin/hactl (.*)$", text, re.MULTILINE)
    assert unknown_to(typer.main.get_command(app), command.split()) == ""
    timer = Path(UNITS["hactl-etcd-snapshot.timer"])
    assert timer.name == TIMER.name and timer.stem == Path(UNITS["hactl-etcd-snapshot.service"]).stem


def test_the_unit_starts_what_is_installed() -> None:
    text = (ROOT / UNITS["hactl.service"]).read_text()
    assert "ExecStart=/opt/hactl/bin/python -I -m hactl.daemon\n" in text
    assert importlib.util.find_spec("hactl.daemon.__main__")
    assert "python3 -m venv /opt/hactl\n" in (ROOT / "docs/install.md").read_text()
