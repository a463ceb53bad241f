"""The guard refuses steps that it does not understand: all those that resources give it must pass."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fencing.guard import stop
from hactl.linux.cgroup import Cgroup, find_mount, prepare_root
from hactl.resources import factory
from hactl.resources.base import NodeContext
from tests.support.specs import resource_spec

PROMOTABLE = {"agent": "pacemaker:Stateful", "clone_max": 3, "promoted_max": 1}
AGENT = {"start": ["true"], "stop": ["true"], "monitor": ["false"]}


@pytest.fixture
def cgroup_root() -> Iterator[str]:
    root = prepare_root(f"hactl-test-{uuid.uuid4().hex[:8]}")
    if root is None:
        pytest.skip("needs root and cgroup v2")
    yield root
    Cgroup(root).remove()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("exec", {"command": ["sleep", "600"]}),
        ("exec", AGENT),
        ("systemd", {"unit": "mariadb"}),
        ("manifest", {"directory": "/etc/kubernetes/manifests/", "content": "x"}),
        ("mount", {"device": "/dev/vg0/db", "directory": "/srv/db"}),
        ("mount", {"device": "UUID=0c3e", "directory": "/srv/db"}),
        ("mount", {"device": "server:/export", "directory": "/srv/db"}),
        ("promote", None),
        ("promote", {"of": "db/it", "instance": {"name": "it", "kind": "ocf", "options": PROMOTABLE}}),
    ],
)
@pytest.mark.parametrize("with_cgroups", [True, False])
def test_steps(kind: Any, options: dict[str, Any] | None, with_cgroups: bool, cgroup_root: str, tmp_path: Path) -> None:
    context = NodeContext("n1", str(tmp_path), cgroup_root if with_cgroups else None)
    steps = factory.make(resource_spec("thing.x", kind, options), context, "group").guard_steps()
    assert steps and [stop.check(step) for step in steps] == [""] * len(steps)


def test_the_place_of_cgroup_v2_is_found(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup2 /sys/fs/with\\040space cgroup2 rw 0 0\n")
    assert find_mount(str(mounts)) == "/sys/fs/with space"
    mounts.write_text("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n")
    assert find_mount(str(mounts)) is None
