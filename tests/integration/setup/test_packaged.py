"""An etcd or a HAProxy that is on the machine before setup: what nobody uses is stopped, what somebody uses is not."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hactl.setup import packaged
from hactl.setup.errors import RefusedError
from hactl.setup.machine import UnitState
from hactl.setup.packaged import etcd_in_use, haproxy_in_use, stop_packaged_etcd, stop_packaged_haproxy
from tests.support.etcd import EtcdCluster
from tests.support.setup_machines import LoopbackMachine

TO_USE = r"`hactl setup --etcd-endpoints URLS`"


@pytest.fixture
def machine(tmp_path: Path) -> LoopbackMachine:
    return LoopbackMachine(tmp_path / "n1", "127.0.0.1")


@pytest.fixture
def etcd(machine: LoopbackMachine, monkeypatch: pytest.MonkeyPatch) -> Iterator[EtcdCluster]:
    """An etcd of one member that runs on the machine, as Debian's package starts it."""
    with EtcdCluster() as cluster:
        monkeypatch.setattr(packaged, "PACKAGED_ENDPOINT", f"http://{cluster.endpoints[0]}")
        machine.states["etcd"] = UnitState(there=True, enabled=True, active=True)
        yield cluster


def stop(machine: LoopbackMachine) -> list[str]:
    said: list[str] = []
    if problem := etcd_in_use(machine.places, machine):
        raise RefusedError(problem)
    stop_packaged_etcd(machine.places, machine, said.append)
    return said


@pytest.mark.usefixtures("etcd")
def test_an_etcd_without_any_key_is_stopped(machine: LoopbackMachine) -> None:
    assert "without any key" in stop(machine)[0]
    assert machine.done == ["stop etcd"]


def test_an_etcd_with_keys_is_refused(machine: LoopbackMachine, etcd: EtcdCluster) -> None:
    etcd.ctl("put", "/registry/pods", "x")
    with pytest.raises(RefusedError, match=f"holds keys: to use it, {TO_USE}"):
        stop(machine)
    etcd.ctl("del", "/registry/pods")  # it was in use all the same
    with pytest.raises(RefusedError, match="holds keys"):
        stop(machine)
    assert machine.done == []


def test_a_member_of_a_larger_etcd_is_refused(machine: LoopbackMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    with EtcdCluster(size=3) as cluster:
        monkeypatch.setattr(packaged, "PACKAGED_ENDPOINT", f"http://{cluster.endpoints[0]}")
        machine.states["etcd"] = UnitState(there=True, active=True)
        with pytest.raises(RefusedError, match=f"one of 3 members of a cluster: to use it, {TO_USE}"):
            stop(machine)


def test_an_etcd_that_does_not_answer_is_refused(machine: LoopbackMachine, etcd: EtcdCluster) -> None:
    etcd.members[0].stop()
    with pytest.raises(RefusedError, match=r"does not answer at .* so it cannot be seen"):
        stop(machine)


@pytest.mark.parametrize("used", [False, True])
def test_an_etcd_that_is_stopped_is_known_by_its_data(machine: LoopbackMachine, etcd: EtcdCluster, used: bool) -> None:
    if used:
        etcd.ctl("put", "/registry/pods", "x")
    process = etcd.members[0].process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    process.wait(10)
    machine.states["etcd"] = UnitState(there=True)
    Path(machine.places.packaged_data).parent.mkdir(parents=True)
    Path(machine.places.packaged_data).symlink_to(etcd.directory / "m0")
    if used:
        with pytest.raises(RefusedError, match="holds keys"):
            stop(machine)
    else:
        assert stop(machine) == []
    assert machine.done == []


def test_data_that_cannot_be_read_are_refused(machine: LoopbackMachine) -> None:
    database = Path(machine.places.packaged_data, "member/snap/db")
    database.parent.mkdir(parents=True)
    database.write_bytes(b"no database")
    with pytest.raises(RefusedError, match="its data cannot be read"):
        stop(machine)


def test_haproxy_as_its_package_has_it_is_disabled(machine: LoopbackMachine) -> None:
    machine.states["haproxy"] = UnitState(there=True, enabled=True, active=True)
    (Path(machine.places.root) / "etc/haproxy").mkdir()
    packaged_file = Path("/etc/haproxy/haproxy.cfg").read_bytes()
    (Path(machine.places.root) / "etc/haproxy/haproxy.cfg").write_bytes(packaged_file)
    assert haproxy_in_use(machine.places, machine) == ""
    stop_packaged_haproxy(machine, print)
    assert machine.done == ["disable haproxy"]


def test_haproxy_with_another_configuration_is_refused(machine: LoopbackMachine) -> None:
    machine.states["haproxy"] = UnitState(there=True, enabled=True, active=True)
    (Path(machine.places.root) / "etc/haproxy").mkdir()
    (Path(machine.places.root) / "etc/haproxy/haproxy.cfg").write_text("frontend mine\n")
    assert "`systemctl disable --now haproxy`, and repeat this" in haproxy_in_use(machine.places, machine)
