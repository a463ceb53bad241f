"""The manual pages as groff sees them."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tools.docs.man import pages

PAGES = pages()


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
@pytest.mark.parametrize("name", [name for name, text in PAGES.items() if not text.startswith(".so")])
def test_without_warnings(name: str) -> None:
    argv = ["groff", "-Kutf8", "-man", "-ww", "-rF0", "-Tutf8", "-z"]
    done = subprocess.run(argv, input=PAGES[name].encode(), capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")
