"""The roles of deploy/ansible on three machines, and on one with Prometheus: `make test-ansible`.

Only when asked for: it needs Ansible, in $HACTL_ANSIBLE."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ansible.playbook import Control
from tests.machines import debian
from tests.machines.cluster import Cluster
from tests.machines.phases import RUN
from tests.machines.rack import Rack, rack, together
from tests.support import nspawn
from tests.support.tiers import below

FOLDER = Path(__file__).parent
PYTHON = "apt-get install -y -qq --no-install-recommends python3 python3-apt"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    below(FOLDER, items, "ansible", 2400, unless=config.option.markexpr)


@pytest.fixture(scope="package")
def machines() -> Iterator[Rack]:
    """Three machines and a fourth for Prometheus, booted, with Python and nothing of hactl's."""
    nspawn.require()
    assert os.environ.get("HACTL_ANSIBLE"), "needs Ansible: make test-ansible"
    with RUN.phase("prepare: package and root tree"):
        debian.package()
    with rack() as built:
        every = list(built.machines.values())
        built.power_on(every)
        together(every, lambda machine: machine.type(PYTHON))
        yield built


@pytest.fixture(scope="package")
def cluster(machines: Rack) -> Cluster:
    """What the machines become."""
    return Cluster(machines, recommended=False)


@pytest.fixture(scope="package")
def control(machines: Rack, tmp_path_factory: pytest.TempPathFactory) -> Control:
    """With the inventory of the three machines."""
    made = Control(machines.spec, tmp_path_factory.mktemp("control"))
    made.groups = {"hactl_nodes": machines.first_three, "hactl_witness": [], "hactl_monitoring": []}
    made.variables = {
        "hactl_cluster": "prod",
        "hactl_package": str(debian.package()),
        # The machines have no network but their own: what apt needs is in its cache.
        "hactl_apt_cache_valid_time": 10**9,
        "hactl_packages": [],
        # Long leases: here is tested what is done, not how quickly.
        "hactl_profile": "wan",
    }
    return made


@pytest.fixture(autouse=True)
def _phase(request: pytest.FixtureRequest) -> Iterator[None]:
    with RUN.phase(request.node.name):
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if RUN.phases:
        terminalreporter.section(f"Ansible, machines with Debian {debian.release()}")
        for line in RUN.lines():
            terminalreporter.write_line(line)
