"""The daemon reads the stored configuration by another process, once; and is lean without it."""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from hactl.config import compiled
from hactl.config.document import document
from hactl.config.load import load_cluster
from hactl.config.signature import sign
from hactl.config.stored import FORMAT, StoredConfig
from hactl.daemon.parts import config_reader
from hactl.daemon.parts.config_reader import ConfigReader, UnreadableError, serial_in_use
from hactl.decide.timing import PROFILES
from hactl.model.cluster import ClusterSpec

DEADLINE_S = 10.0
EXAMPLE = Path(__file__).parents[3] / "deploy" / "examples" / "cluster.yaml"


@pytest.fixture(scope="module")
def spec() -> ClusterSpec:
    return replace(load_cluster(EXAMPLE), timing=PROFILES["fast"])


def stored(spec: ClusterSpec) -> str:
    """The configuration as the store holds it."""
    return json.dumps({"format": FORMAT, "serial": 1, "document": json.loads(document(spec)), "by": "", "at": ""})


def reader(tmp_path: Path, key: str = "") -> ConfigReader:
    """As the daemon of a node has it; `key`: the content of the cluster's key, if there is one."""
    file = tmp_path / "cluster.key"
    if key:
        file.write_text(key)
        file.chmod(0o600)
    (tmp_path / "state").mkdir(exist_ok=True)
    return ConfigReader(str(tmp_path / "state"), "demo", str(file))


def test_a_compiled_configuration_is_the_same(spec: ClusterSpec) -> None:
    again = compiled.load(json.loads(json.dumps(compiled.dump(spec))))
    assert document(again) == document(spec)
    assert again.groups == spec.groups and again.nodes == spec.nodes and again.timing == spec.timing


def test_a_configuration_read_once_is_known_afterwards(spec: ClusterSpec, tmp_path: Path) -> None:
    text = stored(spec)
    assert asyncio.run(reader(tmp_path).known(text, 1)) is None
    read = asyncio.run(reader(tmp_path).read(text, 1))
    assert document(read) == document(spec)
    assert asyncio.run(reader(tmp_path).known(text, 1)) == read
    assert asyncio.run(reader(tmp_path).known(text + " ", 1)) is None


def test_another_version_reads_it_anew(spec: ClusterSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = stored(spec)
    asyncio.run(reader(tmp_path).read(text, 1))
    monkeypatch.setattr(config_reader, "__version__", "later")
    assert asyncio.run(reader(tmp_path).known(text, 1)) is None


def test_a_document_that_is_refused_says_why_and_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="upgrade hactl"):
        asyncio.run(reader(tmp_path).read(json.dumps({"format": FORMAT + 1, "serial": 1, "document": {}}), 1))
    assert not list((tmp_path / "state").iterdir())


KEY = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4


def signed(spec: ClusterSpec, serial: int = 1, key: str = KEY) -> str:
    """The same, signed."""
    envelope = StoredConfig(serial, json.loads(document(spec)), "root@n1", "2026-01-01T00:00:00+00:00")
    return sign(envelope, "demo", key.encode()).to_json()


def refused(tmp_path: Path, text: str, generation: int = 1) -> str:
    """Why a node with the key refuses it."""
    with pytest.raises(UnreadableError) as raised:
        asyncio.run(reader(tmp_path, KEY).read(text, generation))
    return str(raised.value)


def test_a_node_with_the_key_uses_a_configuration_signed_with_it(spec: ClusterSpec, tmp_path: Path) -> None:
    text = signed(spec)
    assert document(asyncio.run(reader(tmp_path, KEY).read(text, 1))) == document(spec)
    assert asyncio.run(reader(tmp_path, KEY).known(text, 1)) is not None


def test_an_unsigned_configuration_is_refused_and_the_last_good_one_stays(spec: ClusterSpec, tmp_path: Path) -> None:
    used = asyncio.run(reader(tmp_path, KEY).read(signed(spec), 1))
    assert "is not signed" in refused(tmp_path, stored(spec))
    assert "altered" in refused(tmp_path, signed(spec, key=OTHER))
    changed = json.loads(signed(spec, 2))
    for name, value in (("serial", 3), ("by", "mallory"), ("at", ""), ("document", {}), ("signature", "0" * 64)):
        assert "altered" in refused(tmp_path, json.dumps({**changed, name: value})), name
    assert asyncio.run(reader(tmp_path, KEY).last()) == used


def test_of_another_cluster_it_is_refused(spec: ClusterSpec, tmp_path: Path) -> None:
    envelope = StoredConfig(1, json.loads(document(spec)))
    assert "altered" in refused(tmp_path, sign(envelope, "other", KEY.encode()).to_json())


def test_an_older_one_is_refused_until_the_store_is_begun_anew(spec: ClusterSpec, tmp_path: Path) -> None:
    asyncio.run(reader(tmp_path, KEY).read(signed(spec, 7), 1))
    assert "older than 7" in refused(tmp_path, signed(spec, 6))
    assert asyncio.run(reader(tmp_path, KEY).known(signed(spec, 6), 1)) is None
    asyncio.run(reader(tmp_path, KEY).read(signed(spec, 6), 2))


def test_a_cluster_that_gets_a_key_goes_on_with_the_configuration_it_had(spec: ClusterSpec, tmp_path: Path) -> None:
    asyncio.run(reader(tmp_path).read(stored(spec), 1))
    assert asyncio.run(reader(tmp_path, KEY).known(stored(spec), 1)) is not None
    assert "is not signed" in refused(tmp_path, stored(spec).replace('"serial": 1', '"serial": 2'))
    asyncio.run(reader(tmp_path, KEY).read(signed(spec, 2), 1))
    assert "is not signed" in refused(tmp_path, stored(spec))


def test_a_node_whose_key_is_gone_keeps_its_configuration_and_takes_none_unchecked(
    spec: ClusterSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(reader(tmp_path, KEY).read(signed(spec), 1))
    (tmp_path / "cluster.key").unlink()
    for text in (stored(spec), signed(spec, 2), signed(spec, 2, OTHER)):
        assert asyncio.run(reader(tmp_path).known(text, 1)) is None
        with pytest.raises(UnreadableError, match=rf"used signed ones, and there is no {tmp_path}/cluster\.key now"):
            asyncio.run(reader(tmp_path).read(text, 1))
    monkeypatch.setattr(config_reader, "__version__", "later")  # reads it anew, and keeps it so
    assert document(asyncio.run(reader(tmp_path).read(signed(spec), 1))) == document(spec)
    with pytest.raises(UnreadableError, match="used signed ones"):
        asyncio.run(reader(tmp_path).read(stored(spec), 1))


def test_a_new_node_with_the_key_takes_nothing_unsigned(spec: ClusterSpec, tmp_path: Path) -> None:
    assert "is not signed" in refused(tmp_path, stored(spec))


def test_with_a_key_that_others_may_read_nothing_new_is_used(spec: ClusterSpec, tmp_path: Path) -> None:
    made = reader(tmp_path, KEY)
    (tmp_path / "cluster.key").chmod(0o644)
    with pytest.raises(UnreadableError, match="cluster's key cannot be used"):
        asyncio.run(made.read(signed(spec), 1))


def test_after_an_upgrade_the_last_one_is_read_anew_where_the_newest_is_refused(
    spec: ClusterSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(reader(tmp_path, KEY).read(signed(spec), 1))
    monkeypatch.setattr(config_reader, "__version__", "later")
    last = asyncio.run(reader(tmp_path, KEY).last())
    assert last is not None and document(last) == document(spec)


def test_without_the_other_process_it_is_read_here(
    spec: ClusterSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_reader.sys, "executable", "/nonexistent/python")
    here, compile_here = [], config_reader._compile_here
    monkeypatch.setattr(
        config_reader, "_compile_here", lambda text: here.append(threading.current_thread()) or compile_here(text)
    )
    assert document(asyncio.run(reader(tmp_path).read(stored(spec), 1))) == document(spec)
    assert here and threading.main_thread() not in here  # it takes long: not on the loop


def test_an_older_one_is_refused_also_where_the_disk_took_nothing(
    spec: ClusterSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(config_reader, "write_atomically", full)
    made = reader(tmp_path, KEY)
    asyncio.run(made.read(signed(spec, 7), 1))
    with pytest.raises(UnreadableError, match="older than 7"):
        asyncio.run(made.read(signed(spec, 6), 1))


def test_the_commands_know_the_serial_that_this_node_used(spec: ClusterSpec, tmp_path: Path) -> None:
    assert serial_in_use(str(tmp_path / "state")) == 0
    asyncio.run(reader(tmp_path, KEY).read(signed(spec, 7), 1))
    assert serial_in_use(str(tmp_path / "state")) == 7


def test_the_daemon_does_not_import_libraries_of_the_commands() -> None:
    script = """
import sys
import hactl.daemon.__main__
there = {"rich", "pydantic", "ruamel", "typer", "starlette", "uvicorn"} & set(sys.modules)
assert not there, there
import rich
assert rich.__name__ == "rich"
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_a_disk_that_hangs_keeps_no_configuration_from_being_used(
    spec: ClusterSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(config_reader, "write_atomically", lambda *_, **__: goes_on.wait(DEADLINE_S))
    monkeypatch.setattr(config_reader, "DISK_S", 0.01)
    try:
        assert document(asyncio.run(reader(tmp_path).read(stored(spec), 1))) == document(spec)
    finally:
        goes_on.set()
