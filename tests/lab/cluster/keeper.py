"""One lab for all tests of a package. Each test gets it whole, and is judged when it is whole again.

A conftest.py of a package has a fixture `keeper` (`keeping`), and imports the fixture `cluster` and the hook.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hactl.lab.cluster import Lab
from hactl.lab.spec import LabSpec
from hactl.lab.system import LabError
from tests.support.promises import promised

from .gateway import NoStoreError
from .whole import DEADLINE_S, Cluster

_FAILED = pytest.StashKey[bool]()


class Keeper:
    """Brings the lab up when it is first wanted, and anew when a test left it beyond repair. `spec`: the lab, but for
    its name, which begins with `prefix`."""

    def __init__(self, prefix: str, spec: LabSpec) -> None:
        self._prefix, self._spec = prefix, spec
        self._cluster: Cluster | None = None
        self._labs = 0

    def cluster(self) -> Cluster:
        """The cluster, whole."""
        if self._cluster is None:
            self._labs += 1
            lab = Lab(replace(self._spec, name=f"{self._prefix}{os.getpid()}x{self._labs}")).up()
            try:
                self._cluster = Cluster(lab)
                self._cluster.await_whole()
            except BaseException:
                lab.down()
                self._cluster = None
                raise
        return self._cluster

    def drop(self) -> None:
        """Take the lab down."""
        if self._cluster is not None:
            self._cluster.lab.down()
            self._cluster = None


def keeping(prefix: str, spec: LabSpec) -> Iterator[Keeper]:
    """For a fixture `keeper`: its lab is gone in the end."""
    keeper = Keeper(prefix, spec)
    try:
        yield keeper
    finally:
        keeper.drop()


@pytest.fixture
def cluster(keeper: Keeper, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster, whole before each test. A module's TIMING: durations for its tests in place of the profile's."""
    kept = keeper.cluster()
    try:
        kept.rest_on(getattr(request.module, "TIMING", {}))
    except BaseException:
        keeper.drop()
        raise
    kept.begin()
    yield kept
    failed, request.node.stash[_FAILED] = request.node.stash.get(_FAILED, False), False  # another try may follow
    problem, complaints = _finish(kept)
    if problem or complaints or failed:
        _keep_logs(kept)
        print(kept.report())
    if problem:
        keeper.drop()
    promised(not complaints, "\n".join(complaints))
    if problem and not failed:
        pytest.fail(problem, pytrace=False)


def _finish(cluster: Cluster) -> tuple[str, list[str]]:
    """Make it whole, and judge; returns why it is not whole, and the broken promises."""
    cluster.deadline_s = DEADLINE_S
    try:
        cluster.make_whole()
        complaints = cluster.complaints()
        cluster.forget_others()
    except (LabError, NoStoreError, KeyError) as error:
        return f"the cluster does not become whole again: {error!r}", cluster.twice()
    return "", complaints


def _keep_logs(cluster: Cluster) -> None:
    """Where HACTL_KEEP_LOGS names a directory: the lab's logs of the failed test."""
    if place := os.environ.get("HACTL_KEEP_LOGS"):
        target = tempfile.mkdtemp(prefix=f"{cluster.lab.spec.name}-", dir=place)
        shutil.copytree(cluster.lab.spec.path / "logs", Path(target) / "logs")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    if call.when == "call" and call.excinfo is not None:
        item.stash[_FAILED] = True  # expected to or not: the lab may be beyond repair
    return (yield)
