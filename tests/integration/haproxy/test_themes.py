"""HAProxy accepts each of the recorded files of `tests/golden/haproxy/themes` without a warning."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.golden.haproxy.test_haproxy_themes import HERE, NAMES
from tests.support.haproxy_accepts import make_tls_files, objections

TLS_FILES = "/etc/hactl/tls"


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tls_files(tmp_path_factory.mktemp("tls"))


@pytest.mark.skipif(not shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin"), reason="needs haproxy")
@pytest.mark.parametrize("name", NAMES)
def test_haproxy_accepts_it_without_a_warning(name: str, tmp_path: Path, tls_files: Path) -> None:
    text = (HERE / f"{name}.cfg").read_text().replace(TLS_FILES, str(tls_files))
    assert objections(text, tmp_path) == []
