"""Where the resources of real agents are: a directory that any user may enter, for a database's own user."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from hactl.resources.base import NodeContext
from tests.support.namespaces import ip

from .real import cgroups


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="hactl-ocf-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def context(place: Path) -> Iterator[NodeContext]:
    with cgroups(place / "run") as made:
        yield made


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"hactl-ocf-{uuid.uuid4().hex[:8]}"
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "add", "node", "type", "veth", "peer", "name", "peer")
        for command in ("link set lo up", "link set node up", "link set peer up"):
            ip("-n", name, *command.split())
        ip("-n", name, "addr", "add", "10.77.0.1/24", "dev", "node")
        ip("-n", name, "-6", "addr", "add", "fd77::1/64", "dev", "node", "nodad")
        yield name
    finally:
        ip("netns", "del", name)
