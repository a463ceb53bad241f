"""The commands that stand in for Pacemaker's, as agents call them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hactl.resources.ocf import environment
from hactl.resources.ocf.attribute_files import read
from hactl.resources.ocf.attributes import promotion_score
from tests.support.specs import resource_spec

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Call one as an agent's script does; its exit status and output."""
    spec = resource_spec("db", "ocf", {"agent": "a:b"})
    env = environment.of_resource(spec, "g", "n1", str(tmp_path))

    def called(*argv: str, without: str = "") -> tuple[int, str]:
        given = {name: value for name, value in env.items() if name != without}
        done = subprocess.run(argv, env=given, capture_output=True, text=True, timeout=20, check=False)
        return done.returncode, done.stdout.removesuffix("\n") or done.stderr.removesuffix("\n")

    return called


@pytest.mark.parametrize(
    "argv",
    [
        ("crm_master", "-l", "reboot", "-v", "10"),
        ("crm_master", "-Q", "-l", "reboot", "-v", "10"),
        ("crm_attribute", "--promotion", "-v", "10"),
        ("crm_attribute", "-p", "-v", "10"),
        ("crm_attribute", "--promotion=g.db", "--update=10"),
        ("crm_attribute", "-N", "n1", "-l", "reboot", "--name", "master-g.db", "-v10"),
        ("attrd_updater", "-p", "-n", "master-g.db", "-U", "10", "-d", "5s"),
        ("attrd_updater", "-S", "status", "--name=master-g.db", "-B", "10"),
    ],
)
def test_a_promotion_score_is_recorded_and_forgotten(call: Call, tmp_path: Path, argv: tuple[str, ...]) -> None:
    assert call(*argv) == (0, "")
    assert promotion_score(read(f"{tmp_path}/attributes"), "g.db") == 10
    assert call("crm_master", "-G", "-q") == (0, "10")
    assert call("crm_master", "-D") == (0, "")
    assert promotion_score(read(f"{tmp_path}/attributes"), "g.db") is None


def test_attributes_are_kept_until_they_are_deleted(call: Call, tmp_path: Path) -> None:
    assert call("crm_attribute", "-N", "n1", "-n", "g.db-data", "-l", "forever", "-v", "a 'b' \"$c\"") == (0, "")
    assert read(f"{tmp_path}/attributes") == {"g.db-data": "a 'b' \"$c\""}
    assert call("crm_attribute", "-n", "g.db-data", "--query", "-q") == (0, "a 'b' \"$c\"")
    assert call("attrd_updater", "-n", "g.db-data", "-Q") == (0, 'name="g.db-data" host="n1" value="a \'b\' "$c""')
    assert call("attrd_updater", "-n", "g.db-data", "-D") == (0, "")
    assert call("attrd_updater", "-n", "g.db-data", "-D") == (0, "")
    status, words = call("crm_attribute", "-n", "g.db-data", "-G")
    assert (status, words) == (105, "crm_attribute (hactl): there is no attribute g.db-data")
    assert call("crm_attribute", "-n", "g.db-data", "-G", "-q", "-d", "none") == (0, "none")


def test_this_node_is_named_and_others_are_not_known(call: Call) -> None:
    assert call("crm_node", "-n") == call("crm_node", "-p") == (0, "n1")
    assert call("crm_node", "-l") == (0, "1 n1 member") and call("crm_node", "-q") == (0, "1")
    assert call("crm_attribute", "-N", "n2", "-n", "x", "-v", "1")[0] == 105
    assert call("attrd_updater", "-N", "n2", "-n", "x", "-Q")[0] == 105
    assert call("crm_attribute", "--type", "crm_config", "--name", "x", "-s", "y", "--query", "-q")[0] == 105


@pytest.mark.parametrize("command", ["crm_resource", "crm_mon", "cibadmin", "crmadmin"])
def test_what_has_nobody_to_ask_says_so(call: Call, command: str) -> None:
    assert call(command, "-1") == (102, f"{command} (hactl): there is no Pacemaker here: hactl runs this resource")


@pytest.mark.parametrize(
    "argv",
    [
        ("crm_attribute", "-n", "../x", "-v", "1"),
        ("crm_attribute", "-n", "", "-v", "1"),
        ("crm_attribute", "-n", ".x", "-v", "1"),
        ("crm_attribute", "-v"),
        ("crm_attribute", "--nonsense"),
        ("attrd_updater", "-n", "x"),
        ("crm_node", "--nonsense"),
    ],
)
def test_nonsense_is_refused(call: Call, tmp_path: Path, argv: tuple[str, ...]) -> None:
    status, words = call(*argv)
    assert status == 64 and words.startswith(f"{argv[0]} (hactl): ")
    assert read(f"{tmp_path}/attributes") == {}


def test_called_by_hand_they_have_no_place_for_attributes(call: Call) -> None:
    assert call(f"{environment.COMMANDS}/crm_master", "-v", "1", without="HACTL_OCF_ATTRIBUTES")[0] == 102


def test_every_command_can_be_executed() -> None:
    """They are data of the package."""
    commands = {path.name for path in Path(environment.COMMANDS).iterdir() if os.access(path, os.X_OK)}
    expected = {
        "crm_attribute",
        "crm_master",
        "crm_node",
        "attrd_updater",
        "crm_resource",
        "crm_mon",
        "cibadmin",
        "crmadmin",
    }
    assert commands == expected


def test_attributes_that_were_left_half_written_are_none(tmp_path: Path) -> None:
    (tmp_path / ".master-x.17").write_text("5")
    (tmp_path / "master-x").write_bytes(b"\xff\n")
    assert read(str(tmp_path)) == {"master-x": "\ufffd"}
    assert read(f"{tmp_path}/no") == {}
