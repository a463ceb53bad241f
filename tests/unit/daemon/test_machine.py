"""What this machine says that it is: its machine id, its hardware and a secret of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from election.machine import PARTS, UNKNOWN, differences
from hactl.config.errors import ConfigErrors
from hactl.config.node import NodeConfig
from hactl.daemon.parts import machine
from hactl.daemon.parts.machine import identify, read_boot_id, read_machine_id
from hactl.daemon.parts.state_files import StateFiles
from hactl.linux.process_identity import Stat


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    (tmp_path / "state").mkdir()
    (tmp_path / "hardware").write_text("4c4c4544-0031-3310-8051-b4c04f4e3532\n52:54:00:aa:bb:cc\n")
    return NodeConfig(cluster="demo", state_dir=f"{tmp_path}/state", hardware_file=f"{tmp_path}/hardware")


@pytest.mark.parametrize("content", [None, "", "\n", "uninitialized\n", "0" * 32, b"\xff\xfe"])
def test_a_machine_id_that_tells_nothing_is_refused(tmp_path: Path, content: str | bytes | None) -> None:
    path = tmp_path / "machine-id"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigErrors, match="systemd-machine-id-setup") as refused:
        read_machine_id(str(path))
    assert str(path) in str(refused.value)


def test_a_machine_id(tmp_path: Path) -> None:
    (tmp_path / "machine-id").write_text("8136d6b5c4e74eaab9337e47720f9153\n")
    assert read_machine_id(str(tmp_path / "machine-id")) == "8136d6b5c4e74eaab9337e47720f9153"


def test_it_stays_the_same_and_the_secret_is_private(config: NodeConfig) -> None:
    first = identify(config, "10.0.0.1")
    assert UNKNOWN not in first.split(".") and len(first.split(".")) == len(PARTS)
    assert identify(config, "10.0.0.1") == first
    secret = Path(config.state_dir, "machine-secret")
    assert secret.stat().st_mode & 0o777 == 0o600 and secret.read_text().strip() not in first


def test_which_part_differs(config: NodeConfig, tmp_path: Path) -> None:
    first = identify(config, "10.0.0.1")
    (tmp_path / "hardware").write_text("4c4c4544-0031-3310-8051-b4c04f4e3532\n52:54:00:aa:bb:dd\n")
    assert differences(first, identify(config, "10.0.0.1")) == [PARTS[2]]
    (tmp_path / "hardware").write_text("\n52:54:00:aa:bb:cc\n")
    assert differences(first, identify(config, "10.0.0.1")) == []
    Path(config.state_dir, "machine-secret").unlink()
    assert differences(first, identify(config, "10.0.0.1")) == [PARTS[0]]


def test_of_several_cards_one_that_is_there_is_enough(config: NodeConfig, tmp_path: Path) -> None:
    """Those of a bond: one is broken at the next boot, or comes late."""
    board = "4c4c4544-0031-3310-8051-b4c04f4e3532"
    digests = {}
    for cards in ("aa bb", "bb", "bb cc", "cc", ""):
        (tmp_path / "hardware").write_text(f"{board}\n{cards}\n")
        digests[cards] = identify(config, "10.0.0.1")
    assert [cards for cards in digests if differences(digests["aa bb"], digests[cards])] == ["cc"]
    assert differences(digests["bb cc"], digests["aa bb"]) == []


def test_a_container_has_a_boot_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's boot id is the host's: it is the same in a copy of the container, and after the next start."""
    real = "/proc/sys/kernel/random/boot_id"
    (tmp_path / "boot").write_text("one\n")
    monkeypatch.setattr(machine, "in_container", lambda: False)
    plain = read_boot_id(real)
    assert plain == Path(real).read_text().strip() and read_boot_id(str(tmp_path / "boot")) == "one"
    monkeypatch.setattr(machine, "in_container", lambda: True)
    monkeypatch.setattr(machine, "read_stat", lambda pid: Stat("S", 1, 4711))
    assert read_boot_id(real) == f"{plain}-4711"
    assert read_boot_id(str(tmp_path / "boot")) == "one"  # as node.toml says


def test_a_process_namespace_of_its_own_is_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker says it in no word that is looked for."""
    monkeypatch.setattr(machine, "_processes", lambda: "pid:[4026532210]")
    assert machine.in_container()


@pytest.mark.parametrize("content", ["", "short", "x" * 64])
def test_a_bad_secret_file_says_nothing(config: NodeConfig, content: str) -> None:
    Path(config.state_dir, "machine-secret").write_text(content)
    assert identify(config, "10.0.0.1").startswith(f"{UNKNOWN}.")


def test_a_session_held_is_of_this_boot_and_of_no_copy(tmp_path: Path) -> None:
    disk, later = (StateFiles(str(tmp_path / "state"), boot) for boot in ("boot-1", "boot-2"))
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    assert disk.held(str(run_dir)) == ""
    disk.hold(str(run_dir), "sid-1")
    assert disk.held(str(run_dir)) == "sid-1"
    assert later.held(str(run_dir)) == disk.held(str(tmp_path / "other")) == ""
    disk.hold(str(tmp_path / "absent"), "sid-1")  # said, and no more


def test_a_disowned_session_stays_so(tmp_path: Path) -> None:
    disk = StateFiles(str(tmp_path), "boot")
    for number in range(30):
        disk.disown(f"sid-{number}")
    assert StateFiles(str(tmp_path), "boot").disowned()[-1] == "sid-29" and len(disk.disowned()) == 20
    (tmp_path / "disowned.json").write_text('{"no": "list"}')
    assert disk.disowned() == ()
