"""What the daemon writes is for root alone; what it starts has the umask that the daemon was given."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hactl.config.errors import ConfigErrors
from hactl.config.node import NodeConfig
from hactl.daemon.parts.private_files import make_private
from hactl.daemon.parts.state_files import KnownStore, StateFiles


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    run_dir = tmp_path / "run"
    return NodeConfig(
        cluster="demo", node="n1", state_dir=f"{tmp_path}/state", run_dir=str(run_dir), haproxy_dir=f"{run_dir}/haproxy"
    )


def test_new_directories(config: NodeConfig) -> None:
    with capture_logs() as said:
        make_private(config)
    assert mode(Path(config.state_dir)) == 0o700 and mode(Path(config.run_dir)) == 0o711
    assert said == []


def test_files_that_an_earlier_version_left_open_are_closed_and_named(config: NodeConfig, tmp_path: Path) -> None:
    state, run = Path(config.state_dir), Path(config.run_dir)
    elsewhere = tmp_path / "elsewhere"
    files = (state / "config.json", state / "started" / "web.json", run / "haproxy" / "haproxy.cfg")
    for path in (*files, elsewhere):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.chmod(0o644)
    for path in (state, state / "started", run, run / "haproxy"):
        path.chmod(0o755)
    (state / "link").symlink_to(elsewhere)
    os.mkfifo(run / "haproxy" / "pipe")
    with capture_logs() as said:
        make_private(config)
    assert [mode(path) for path in files] == [0o600, 0o600, 0o600]
    assert [mode(path) for path in (state, state / "started", run, run / "haproxy")] == [0o700, 0o700, 0o711, 0o700]
    assert mode(elsewhere) == 0o644
    assert {
        "event": "mode_tightened",
        "log_level": "warning",
        "path": str(files[0]),
        "had": "0644",
        "has": "0600",
    } in said
    with capture_logs() as said:
        make_private(config)
    assert said == []


def test_state_is_private_by_itself(tmp_path: Path) -> None:
    StateFiles(str(tmp_path), "boot").keep_known(KnownStore("uuid", 1, 7, "sid"))
    assert mode(tmp_path / "identity.json") == 0o600


def test_modules_come_from_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hactl.daemon.parts.config_reader import ConfigReader, UnreadableError

    (tmp_path / "decimal.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UnreadableError):
        asyncio.run(ConfigReader(str(tmp_path), "demo", str(tmp_path / "no-key")).read("{}", 1))
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("setting", ["state_dir", "run_dir"])
def test_a_directory_of_somebody_else_is_not_taken(config: NodeConfig, setting: str) -> None:
    """Whoever made it first could put there what is believed, and run."""
    place = Path(getattr(config, setting))
    place.mkdir()
    os.chown(place, 4711, -1)
    with pytest.raises(ConfigErrors, match=rf"{setting}: {place} belongs to user 4711: `chown root {place}`"):
        make_private(config)
