"""The lab's faults have the effect that they claim: seen on real connections."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from hactl.lab import netns
from hactl.lab.cluster import Lab
from hactl.lab.spec import CLIENT, VIP
from hactl.lab.system import LabError, wait_until

from .conftest import await_daemons

pytestmark = [pytest.mark.root, pytest.mark.lab]
T = TypeVar("T")

API_ONE, API_TWO = 8001, 8002
# How long to wait to be sure that nothing comes: many times longer than a farewell takes on this network.
SILENCE_S = 0.4


def at(lab: Lab, station: str, function: Callable[[], T]) -> T:
    return netns.inside(lab.spec.namespace(station), function)


def connect(lab: Lab, station: str, address: str, port: int, timeout_s: float = 2.0) -> socket.socket:
    return at(lab, station, lambda: socket.create_connection((address, port), timeout_s))


def reaches(lab: Lab, station: str, address: str, port: int = API_ONE, timeout_s: float = 0.4) -> bool:
    try:
        connect(lab, station, address, port, timeout_s).close()
    except OSError:
        return False
    return True


def is_silent(connection: socket.socket) -> bool:
    """Whether neither data, nor an end, nor a reset comes."""
    connection.settimeout(SILENCE_S)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    except ConnectionError:
        return False
    return False


def processes_alive(pids: list[int]) -> list[int]:
    def state(pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return "X"

    return [pid for pid in pids if state(pid) not in "XZ"]


def test_a_node_is_whole(lab: Lab) -> None:
    leader = lab.await_etcd()
    assert leader in lab.nodes
    for node in lab.nodes.values():
        pid = node.daemon_pid()
        assert pid is not None
        assert f"{lab.spec.name}/{node.name}/daemon" in Path(f"/proc/{pid}/cgroup").read_text()
        assert Path(f"/proc/{pid}/ns/net").stat().st_ino == netns.path(node.namespace).stat().st_ino
        assert [lab.ask(f"{node.address}:{port}") for port in (API_ONE, API_TWO)] == [node.name] * 2
        assert lab.ask(f"[{node.station.address6}]:{API_ONE}") == ""  # the APIs listen on IPv4 only
        assert node.call("cat", "/proc/sys/net/ipv4/ip_nonlocal_bind").strip() == "1"
        assert node.call("cat", "/proc/sys/net/ipv4/conf/all/promote_secondaries").strip() == "1"
        assert node.call("cat", "/proc/sys/net/ipv6/ip_nonlocal_bind").strip() == "1"
    with pytest.raises(ConnectionRefusedError):  # by its kernel: IPv6 gets there
        connect(lab, CLIENT, lab.node("n1").station.address6, 1)


def test_a_killed_process_says_goodbye_but_a_node_without_power_does_not(lab: Lab) -> None:
    node = lab.node("n3")
    with connect(lab, CLIENT, node.address, API_TWO) as connection:
        node.stop_backend("api-two")
        assert not is_silent(connection)
    with connect(lab, CLIENT, node.address, API_ONE) as connection:
        pids = node.group.pids()
        assert len(pids) >= 6
        lab.kill("n3")
        assert is_silent(connection)
    assert processes_alive(pids) == []
    assert not node.powered
    assert not node.group.exists()
    assert not reaches(lab, CLIENT, node.address)
    with pytest.raises(LabError, match="has no power"):
        lab.kill("n3")
    lab.start("n3")
    lab.await_etcd()
    lab.await_backends()
    await_daemons(lab)


def test_a_boot_brings_a_new_boot_id_an_empty_run_directory_and_no_vip(lab: Lab) -> None:
    node = lab.node("n2")
    node.call("ip", "addr", "add", f"{VIP}/24", "dev", "eth0")
    assert VIP in node.addresses()
    before = [(node.home / name).read_text() for name in ("machine-id", "boot-id")]
    (node.home / "run" / "left").write_text("x")
    (node.home / "state" / "kept").write_text("x")
    mac = node.call("cat", "/proc/net/if_inet6")
    lab.kill("n2")
    lab.start("n2")
    after = [(node.home / name).read_text() for name in ("machine-id", "boot-id")]
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert not (node.home / "run" / "left").exists()
    assert (node.home / "state" / "kept").exists()
    assert node.addresses() == [node.address, node.station.address6]
    assert mac.split()[0] in node.call("cat", "/proc/net/if_inet6")
    lab.await_etcd()
    lab.await_backends()
    await_daemons(lab)


def test_a_frozen_nodes_kernel_answers_and_its_processes_do_not(lab: Lab) -> None:
    node = lab.node("n1")
    node.freeze()
    try:
        assert node.frozen
        with connect(lab, CLIENT, node.address, API_ONE) as connection:  # the kernel accepts
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert is_silent(connection)
            node.thaw()
            connection.settimeout(5)
            assert b'"node": "n1"' in connection.recv(1000)
    finally:
        node.thaw()
    assert not node.frozen
    lab.await_etcd()


def test_a_partition_of_two_leaves_the_others_and_heals(lab: Lab) -> None:
    n1, n2, n3 = lab.nodes.values()
    try:
        assert lab.partition("n1", "n2") == ["n1 -> n2", "n2 -> n1"]
        assert not reaches(lab, "n1", n2.address)
        assert not reaches(lab, "n2", n1.address)
        assert reaches(lab, "n1", n3.address)
        assert reaches(lab, "n2", n3.address)
        assert reaches(lab, CLIENT, n1.address)
    finally:
        lab.heal()
    assert reaches(lab, "n1", n2.address, timeout_s=5)


def test_a_partition_from_all_and_from_peers_only(lab: Lab) -> None:
    n1, n2, n3 = lab.nodes.values()
    try:
        lab.partition("n1", "peers")
        assert not reaches(lab, "n1", n2.address)
        assert not reaches(lab, "n3", n1.address)
        assert reaches(lab, CLIENT, n1.address)
        lab.heal()
        lab.partition("n1", "all")
        assert not reaches(lab, CLIENT, n1.address)
        assert not reaches(lab, "n1", n3.address)
        assert reaches(lab, CLIENT, n2.address)
    finally:
        lab.heal()
    assert reaches(lab, CLIENT, n1.address, timeout_s=5)


def test_a_partition_from_etcd_only(lab: Lab) -> None:
    n1, n2, n3 = lab.nodes.values()
    lab.move_etcd_leader("n1")
    try:
        lab.partition("n1", "etcd")
        assert not reaches(lab, "n1", n2.address, 2379)
        assert not reaches(lab, "n3", n1.address, 2380)
        assert reaches(lab, "n1", n2.address, API_ONE)
        assert reaches(lab, "n3", n1.address, API_ONE)
        assert reaches(lab, "n2", n3.address, 2379)
        wait_until(lambda: lab.etcd_leader() in ("n2", "n3"), deadline_s=15, goal="the others have a leader")
    finally:
        lab.heal()
    lab.await_etcd()


@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_one_way_partition(lab: Lab, direction: str) -> None:
    n1, n2, _ = lab.nodes.values()

    def listener(node_name: str, address: str) -> socket.socket:
        def bind() -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((address, 7000))
            made.settimeout(SILENCE_S)
            return made

        return at(lab, node_name, bind)

    def arrives(source: socket.socket, target: socket.socket) -> bool:
        # Only one way is open, so an address that had to be asked for would not be told: say it first.
        source.sendto(b"x", target.getsockname())
        try:
            return target.recv(10) == b"x"
        except TimeoutError:
            return False

    n1.call("ip", "neigh", "replace", n2.address, "lladdr", n2.station.mac, "dev", "eth0", "nud", "permanent")
    n2.call("ip", "neigh", "replace", n1.address, "lladdr", n1.station.mac, "dev", "eth0", "nud", "permanent")
    with listener("n1", n1.address) as at_n1, listener("n2", n2.address) as at_n2:
        try:
            assert arrives(at_n1, at_n2)
            assert arrives(at_n2, at_n1)
            lab.partition("n1", "n2", direction)  # type: ignore[arg-type]
            assert arrives(at_n1, at_n2) == (direction == "in")
            assert arrives(at_n2, at_n1) == (direction == "out")
        finally:
            lab.heal()
    n1.call("ip", "neigh", "flush", "dev", "eth0", "nud", "permanent")
    n2.call("ip", "neigh", "flush", "dev", "eth0", "nud", "permanent")


def test_etcd_is_stopped_and_frozen_and_its_leader_moved(lab: Lab) -> None:
    lab.move_etcd_leader("n2")
    lab.move_etcd_leader("n3")
    assert lab.etcd_leader() == "n3"
    lab.stop_etcd()
    assert lab.etcd_leader() is None
    lab.start_etcd()
    assert lab.etcd_leader() is not None
    lab.freeze_etcd()
    assert reaches(lab, CLIENT, lab.node("n1").address, 2379)  # its kernel accepts, it does not answer
    assert lab.etcd_leader() is None
    lab.freeze_etcd(False)
    lab.await_etcd()


def test_the_supervisor_starts_a_killed_daemon_again(lab: Lab) -> None:
    node = lab.node("n1")
    left = set(node.group.child("daemon").pids())
    guard = set(node.group.child("guard").pids())
    dead = node.kill_daemon()
    wait_until(lambda: node.daemon_pid() not in (None, dead), deadline_s=10, goal="the daemon is back")
    assert processes_alive(list(left)) == []  # its helper, too, as systemd does
    assert set(node.group.child("guard").pids()) >= guard  # not the processes in another cgroup


def test_the_daemon_is_restarted_and_stopped_in_the_orderly_way(lab: Lab) -> None:
    node = lab.node("n2")
    before = node.daemon_pid()
    began = time.monotonic()
    node.restart_daemon()
    assert node.daemon_pid() not in (None, before)
    assert time.monotonic() - began < 10
    node.stop_daemon()
    assert node.daemon_pid() is None
    assert node.group.child("daemon").pids() == []
    with pytest.raises(LabError, match="no daemon is running"):
        node.kill_daemon()
    node.start_daemon()
    await_daemons(lab)


def test_the_guard_is_killed_alone(lab: Lab) -> None:
    node = lab.node("n3")
    daemon = node.daemon_pid()
    killed = node.kill_guard()
    wait_until(lambda: not processes_alive(killed), deadline_s=5, goal="the guard is dead")
    assert node.daemon_pid() == daemon
    assert daemon is not None
    os.kill(daemon, 0)


def test_an_impossible_fault_is_refused_with_a_hint(lab: Lab) -> None:
    with pytest.raises(LabError, match="no node 'n9': one of n1, n2, n3"):
        lab.partition("n9", "all")
    with pytest.raises(LabError, match="nothing to part n1 from by 'moon': n2, n3, all, peers, etcd, client"):
        lab.partition("n1", "moon")
    with pytest.raises(LabError, match="no node 'x': one of n1"):
        lab.kill("x")
    with pytest.raises(LabError, match="has power"):
        lab.start("n1")
    with pytest.raises(LabError, match="no haproxy is running"):
        lab.node("n1").kill_haproxy()
