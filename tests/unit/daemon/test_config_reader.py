"""The daemon reads the stored configuration by another process, once; and is lean without it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hactl.config import compiled
from hactl.config.document import document
from hactl.config.load import load_cluster
from hactl.config.stored import FORMAT
from hactl.daemon import config_reader
from hactl.daemon.config_reader import ConfigReader, UnreadableError
from hactl.decide.timing import PROFILES
from hactl.model.cluster import ClusterSpec

EXAMPLE = Path(__file__).parents[3] / "deploy" / "examples" / "cluster.yaml"


@pytest.fixture(scope="module")
def spec() -> ClusterSpec:
    return replace(load_cluster(EXAMPLE), timing=PROFILES["fast"])


def stored(spec: ClusterSpec) -> str:
    """What the store holds."""
    return json.dumps({"format": FORMAT, "serial": 1, "document": json.loads(document(spec)), "by": "", "at": ""})


def test_what_is_compiled_is_the_same_configuration(spec: ClusterSpec) -> None:
    again = compiled.load(json.loads(json.dumps(compiled.dump(spec))))
    assert document(again) == document(spec)
    assert again.groups == spec.groups and again.nodes == spec.nodes and again.timing == spec.timing


def test_what_was_read_once_is_known_afterwards(spec: ClusterSpec, tmp_path: Path) -> None:
    text = stored(spec)
    assert ConfigReader(str(tmp_path)).known(text) is None
    read = asyncio.run(ConfigReader(str(tmp_path)).read(text))
    assert document(read) == document(spec)
    assert ConfigReader(str(tmp_path)).known(text) == read
    assert ConfigReader(str(tmp_path)).known(text + " ") is None


def test_another_version_reads_it_anew(spec: ClusterSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = stored(spec)
    asyncio.run(ConfigReader(str(tmp_path)).read(text))
    monkeypatch.setattr(config_reader, "__version__", "later")
    assert ConfigReader(str(tmp_path)).known(text) is None


def test_a_document_that_is_refused_says_why_and_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="upgrade hactl"):
        asyncio.run(ConfigReader(str(tmp_path)).read(json.dumps({"format": FORMAT + 1, "serial": 1, "document": {}})))
    assert not list(tmp_path.iterdir())


def test_without_the_other_process_it_is_read_here(
    spec: ClusterSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_reader.sys, "executable", "/nonexistent/python")
    assert document(asyncio.run(ConfigReader(str(tmp_path)).read(stored(spec)))) == document(spec)


def test_the_daemon_comes_without_what_only_others_need() -> None:
    script = """
import sys
import hactl.daemon.__main__
there = {"rich", "pydantic", "ruamel", "typer", "starlette", "uvicorn"} & set(sys.modules)
assert not there, there
import rich
assert rich.__name__ == "rich"
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
