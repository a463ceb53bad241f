"""The fencing parts of cluster.yaml: settings that are read, settings that are refused, and the agents' own
objections."""

from __future__ import annotations

from pathlib import Path

import pytest

from hactl.admin.config import check_file
from tests.support.toy_agent import ToyAgent
from tests.unit.config.test_fencing import GOOD, check


@pytest.fixture
def toy(tmp_path: Path) -> ToyAgent:
    return ToyAgent(tmp_path)


def test_good_options_pass(toy: ToyAgent) -> None:
    ok, said = check(toy, "dir: /tmp, speed: 3")
    assert ok and ": options" not in said and "fencing" not in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("dir: /tmp, sped: 3", 'options.sped: fence_toy has no option `sped`; did you mean `speed`, "How fast it is"?'),
        ("speed: 3", 'fencing.devices[0].options: fence_toy needs the option `dir`; "Where the files are"'),
        ("dir: /tmp, speed: high", 'options.speed: option `speed`: `high` is not a whole number; "How fast it is"'),
        ("dir: /tmp, knock: sesame", "options.knock: option `knock` would be kept in etcd"),
    ],
)
def test_options_that_the_agent_refuses_are_refused(toy: ToyAgent, options: str, says: str) -> None:
    ok, said = check(toy, options)
    assert not ok and says in said
    assert said.startswith(f"error: {toy.place}/cluster.yaml:2:")
    assert "sesame" not in said


def test_an_agent_that_cannot_verify_is_refused(toy: ToyAgent) -> None:
    toy.path.write_text(toy.path.read_text().replace('<action name="status"/>', ""))
    ok, said = check(toy, "dir: /tmp")
    assert not ok and "cannot say whether a machine is off" in said


def test_a_plug_for_an_agent_without_plugs_is_refused(toy: ToyAgent) -> None:
    toy.path.write_text(toy.path.read_text().replace('name="plug"', 'name="other"'))
    assert "knows no plugs" in check(toy, "dir: /tmp")[1]
    assert check(toy, "dir: /tmp", "switch")[0]


def test_unfencing_is_as_the_agent_has_it(toy: ToyAgent) -> None:
    good = toy.path.read_text()
    assert check(toy, "dir: /tmp", more=", unfence: true") == check(toy, "dir: /tmp")
    toy.path.write_text(good.replace('<action name="on"/>', '<action name="on" automatic="1"/>'))
    ok, said = check(toy, "dir: /tmp")
    assert ok and "has to be switched on by it before it takes part; give the device `unfence: true`" in said
    assert "unfence" not in check(toy, "dir: /tmp", more=", unfence: true")[1]
    toy.path.write_text(good.replace('<action name="on"/>', ""))
    ok, said = check(toy, "dir: /tmp", more=", unfence: true")
    assert not ok and "fencing.devices[0].unfence: " in said and "has no `on`; leave `unfence` out" in said


def test_an_agent_that_does_not_work_here_is_named(toy: ToyAgent) -> None:
    toy.path.write_text("#!/bin/sh\necho no module named x >&2\nexit 1\n")
    ok, said = check(toy, "whatever: 1")
    assert ok and "does not work here: exit status 1: no module named x" in said


def test_a_secret_that_this_node_lacks_is_named(toy: ToyAgent) -> None:
    secret = toy.place / "key"
    options = f"dir: /tmp, password: {{file: {secret}}}"
    ok, said = check(toy, options, node="n1")
    assert ok and f"options.password: on this node, n1: secret file {secret}: No such file" in said
    assert "on this node, n" not in check(toy, options, node="n9")[1]  # no node of this cluster
    toy.put("key", "sesame\n")
    secret.chmod(0o644)
    assert "chmod 600" in check(toy, options, node="n1")[1]
    secret.chmod(0o600)
    ok, said = check(toy, options, node="n1")
    assert ok and "on this node," not in said and "sesame" not in said


def test_a_watchdog_that_this_node_does_not_use_is_named(toy: ToyAgent) -> None:
    path = toy.place / "cluster.yaml"
    path.write_text(GOOD.replace("/opt/site/fence_pdu", str(toy.path)).replace("ip: 10.0.1.22", f"dir: {toy.place}"))
    says = "nodes[0].fencing.levels[2].watchdog: on this node, n1: node.toml has `watchdog` off"
    said = check_file(path, node="n1", has_watchdog=False).lines
    assert any(says in line for line in said), said
    for node, has_watchdog in (("n1", True), ("n2", False), ("", False)):
        assert "has `watchdog` off" not in str(check_file(path, node=node, has_watchdog=has_watchdog).lines)
