"""Files of HAProxy's as they are imported, and what hactl makes of them.

`NAME.cfg` becomes `NAME.yaml`, with what was said in `NAME.notes`, and is rendered as `NAME.rendered`.
`HACTL_UPDATE_GOLDEN=1 pytest tests/golden/importers` writes them anew.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hactl.haproxy.control.files import NOTHING_KNOWN
from tests.golden.importers.test_import_golden import HERE, imported

TAKEN_BY_HAPROXY = ("checks", "lab", "names", "web")


def accepts(text: str, tmp_path: Path) -> str:
    """HAProxy's objections to a file; "" when it accepts it."""
    health, file = tmp_path / "health", tmp_path / "haproxy.cfg"
    health.write_text(NOTHING_KNOWN)
    file.write_text(text.replace("/run/hactl/haproxy/haproxy.health", str(health)))
    binary = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"]) or "haproxy"
    done = subprocess.run(
        [binary, "-W", "-c", "-f", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    return "" if done.returncode == 0 else done.stderr


@pytest.mark.parametrize("name", TAKEN_BY_HAPROXY)
def test_haproxy_accepts_the_import_of_a_file_that_it_accepts(name: str, tmp_path: Path) -> None:
    assert accepts((HERE / f"{name}.cfg").read_text(), tmp_path) == ""
    assert accepts(imported(name).rendered, tmp_path) == ""
