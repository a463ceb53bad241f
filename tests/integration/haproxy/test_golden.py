"""HAProxy accepts each of the recorded files of `tests/golden/haproxy` without a warning."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.golden.haproxy.test_haproxy_golden import CASES, HERE
from tests.support.haproxy_accepts import objections


@pytest.mark.skipif(not shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin"), reason="needs haproxy")
@pytest.mark.parametrize("name", CASES)
def test_haproxy_accepts_it_without_a_warning(name: str, tmp_path: Path) -> None:
    assert objections((HERE / f"{name}.cfg").read_text(), tmp_path) == []
