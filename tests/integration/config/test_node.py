"""node.toml: defaults, errors with lines, and that reading it stays light."""

from __future__ import annotations

import subprocess
import sys


def test_reading_it_imports_neither_pydantic_nor_yaml() -> None:
    code = "import sys, hactl.config.node, hactl.config.stored; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not {"pydantic", "pydantic_core", "ruamel.yaml"} & set(done.stdout.split())
