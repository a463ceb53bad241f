"""A directory, a cgroup and free ports for each test's HAProxy."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from hactl.linux.cgroup import prepare_root
from hactl.resources.base import NodeContext
from tests.lab.haproxy.haproxy_lab import BINARY, Lab, nothing_left


@pytest.fixture(params=["cgroup", "group"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """With cgroups, and with process groups as where there are none."""
    if not shutil.which(BINARY, path="/usr/local/sbin:/usr/sbin:/usr/bin"):
        pytest.skip("needs haproxy")
    root = prepare_root(f"hactl-test-{uuid.uuid4().hex[:8]}") if request.param == "cgroup" else None
    if request.param == "cgroup" and root is None:
        pytest.skip("needs cgroup v2 and the right to write there")
    # Short: it holds unix sockets.
    with tempfile.TemporaryDirectory(prefix="hactl-") as directory:
        made = Lab(Path(directory), NodeContext("a", directory, root))
        with nothing_left(made):
            yield made
