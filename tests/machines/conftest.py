"""Real machines: three that boot a real systemd, with the package installed on them. They share one cluster, in the
order of FILES; each test finds it well, and leaves it so.

`make test` runs the tests that are marked `short`; `make test-machines` runs all.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.machines import debian
from tests.machines.cluster import APP_VIP, Cluster, note
from tests.machines.phases import RUN
from tests.machines.rack import Rack, rack
from tests.support import nspawn
from tests.support.promises import promised
from tests.support.tiers import below

FOLDER = Path(__file__).parent
FILES = tuple(
    f"test_{name}.py"
    for name in (
        "install",
        "reboots",
        "power",
        "hardware",
        "certificates",
        "membership",
        "disaster",
        "removal",
        "upgrade",
        "witness",
    )
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    long = [test for test in items if test.get_closest_marker("short") is None]
    below(FOLDER, items, "machines", 900)
    below(FOLDER, long, "machines", 900, unless=config.option.markexpr)
    here = [test for test in items if FOLDER in test.path.parents]
    ordered = iter(sorted(here, key=lambda test: FILES.index(test.path.name)))
    items[:] = [next(ordered) if test in here else test for test in items]


@pytest.fixture(scope="package")
def machines() -> Iterator[Rack]:
    """The machines, off, with empty disks."""
    nspawn.require()
    with RUN.phase(f"prepare: package and root tree of Debian {debian.release()}"):
        debian.package()
        debian.tree()
    with rack() as built:
        yield built


@pytest.fixture(scope="package")
def installed(machines: Rack, request: pytest.FixtureRequest) -> Cluster:
    """Booted, with the package on them."""
    cluster = Cluster(machines, recommended="machines" in request.config.option.markexpr)
    with RUN.phase("boot three empty machines"):
        machines.power_on()
    with RUN.phase("apt install ./hactl.deb on three machines at once") as phase:
        cluster.install(cluster.machines)
    note("apt_install_seconds", phase.seconds)
    return cluster


@pytest.fixture(scope="package")
def set_up(installed: Cluster) -> Cluster:
    """A cluster, without groups at first."""
    with RUN.phase("hactl setup --ssh, until status is OK on all") as phase:
        installed.set_up_by_ssh()
        installed.await_well()
    note("setup_until_ok_seconds", phase.seconds)
    note("commands_typed", {machine.name: machine.typed.copy() for machine in installed.machines})
    installed.applications(installed.machines)
    with RUN.phase("hactl config apply, until all runs"):
        installed.configure()
        installed.await_well()
    return installed


@pytest.fixture
def cluster(set_up: Cluster) -> Iterator[Cluster]:
    """The cluster, well before the test; nothing exclusive was in two places meanwhile."""
    set_up.await_well()
    set_up.rack.switch.orders.clear()
    with set_up.rack.watch() as watcher:
        yield set_up
        promised(not watcher.overlaps(APP_VIP), f"{APP_VIP} was on two machines: {watcher.overlaps(APP_VIP)}")


@pytest.fixture(autouse=True)
def _phase(request: pytest.FixtureRequest) -> Iterator[None]:
    with RUN.phase(request.node.name):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    report = yield
    cluster = getattr(item, "funcargs", {}).get("cluster") or getattr(item, "funcargs", {}).get("installed")
    if report.failed and isinstance(cluster, Cluster):
        for machine in cluster.machines:
            for units in ("-n60 -u hactl -u app", "-n20 -u etcd"):
                words = f"journalctl --no-pager -o short-precise {units}".split()
                report.sections.append((f"journal of {machine.name} (on: {machine.is_on})", machine.look(*words)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if RUN.phases:
        terminalreporter.section(f"machines with Debian {debian.release()}")
        for line in RUN.lines():
            terminalreporter.write_line(line)
        RUN.save()
