"""docs/disaster-recovery.md, gone through with real members of etcd that `hactl setup` has set up: the majority is
lost, all data are lost. Only systemd is another."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from election.store import Put, Txn
from hactl.config.etcd_access import open_etcd
from hactl.config.node import load_node
from hactl.setup import machine as setup_machine
from hactl.setup.begin import prepare
from hactl.setup.errors import RefusedError
from hactl.setup.first import set_up
from hactl.setup.join import join, read_bundle
from hactl.setup.plan import Plan, make_plan
from tests.integration.etcd.conftest import Run
from tests.support.setup_machines import LoopbackMachine, Machines, machines
from tests.support.waiting import until

NAMES = ("n1", "n2", "n3")
NOBODY = (65534, 65534)
Restore = Callable[..., tuple[int, str, str]]


def plan_of(made: Machines) -> Plan:
    return make_plan("prod", [host.text for host in made.hosts], token="token", witness="")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Machines]:
    """A cluster that has begun, with TLS and authentication."""
    with machines(tmp_path, *NAMES) as made:
        plan, n1 = plan_of(made), made.of["n1"]
        prepare(plan, n1.places, n1, lambda _: None)
        for name in ("n2", "n3"):
            join(read_bundle(n1.places.bundle(name)), made.of[name].places, made.of[name], lambda _: None)
        set_up(plan, n1.places, n1, lambda _: None, by="root@n1", ssh_user="", deadline=float("inf"))
        for machine in made.of.values():
            path, state = Path(machine.places.node_toml), machine.places.root
            path.write_text(f'{path.read_text()}state_dir = "{state}"\nrun_dir = "{state}"\n')
        yield made


@pytest.fixture
def restore(hactl: Run, monkeypatch: pytest.MonkeyPatch) -> Restore:
    """`hactl etcd restore` on a machine."""

    def run(machine: LoopbackMachine, *words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(setup_machine, "Machine", lambda: machine)
        return hactl("etcd", "restore", "--settings", machine.places.etcd_env, *words)

    return run


def put(machine: LoopbackMachine, value: str) -> None:
    with closing(open_etcd(load_node(Path(machine.places.node_toml)))) as store:
        assert store.txn(Txn((), (Put("/hactl/prod/test", value),)), timeout_s=10.0).succeeded


def read(machine: LoopbackMachine) -> str:
    with closing(open_etcd(load_node(Path(machine.places.node_toml)))) as store:
        stored, _ = store.get("/hactl/prod/test", timeout_s=10.0)
    assert stored is not None
    return stored.value


def data_of(machine: LoopbackMachine) -> Path:
    return Path(machine.places.etcd_data)


def is_well(hactl: Run, machine: LoopbackMachine) -> bool:
    """`hactl etcd status` has nothing to say of three members."""
    status, out, _ = hactl("etcd", "status", "--config", machine.places.node_toml)
    return status == 0 and out.startswith("ok  ") and all(name in out for name in NAMES)


def recovered(hactl: Run, machine: LoopbackMachine) -> None:
    """The cluster begins anew, as its daemons would ask for."""
    status, out, err = hactl("recover", "--yes", "--config", machine.places.node_toml)
    assert status == 0 and "cluster prod begun anew, generation 2" in out, err


def test_all_data_are_lost_and_a_snapshot_is_there(
    hactl: Run, restore: Restore, made: Machines, tmp_path: Path
) -> None:
    n1, n2, n3 = (made.of[name] for name in NAMES)
    file = tmp_path / "snapshot.db"
    put(n1, "before")
    assert hactl("etcd", "snapshot", file, "--config", n1.places.node_toml)[0] == 0
    put(n1, "after")
    status, _, err = restore(n1, "--yes", file)
    assert status == 1 and "is well: it has a leader, and so a majority. Nothing needs a restore" in err
    for machine in made.of.values():
        machine.stop_etcd()
        shutil.rmtree(data_of(machine))
    status, out, err = restore(n1, "--yes", file)
    assert (status, err) == (0, "") and "the data of before: none" in out
    assert (
        "now the same command with the same file on: n2, n3\n" in out and "`hactl recover`, once, on one machine" in out
    )
    # Interrupted and repeated, before the others were restored: what is there stays, and nothing is restored twice.
    inode = data_of(n1).stat().st_ino
    status, out, _ = restore(n1, "--yes", file)
    assert status == 0 and "it was restored from this file before" in out and data_of(n1).stat().st_ino == inode
    n1.stop_etcd()
    n1.start_etcd()
    (data_of(n2).with_name("hactl.restoring") / "member").mkdir(parents=True)  # of one that was killed
    assert restore(n2, "--yes", file)[0] == 0
    assert restore(n3, "--yes", file)[0] == 0
    until(lambda: is_well(hactl, n2), "three members are one cluster")
    assert {read(machine) for machine in made.of.values()} == {"before"}
    inode = data_of(n2).stat().st_ino
    assert "it was restored from this file before" in restore(n2, "--yes", file)[1]
    assert data_of(n2).stat().st_ino == inode
    recovered(hactl, n3)
    assert sorted(path.name for path in data_of(n2).parent.iterdir()) == ["hactl"]
    assert data_of(n2).stat().st_mode & 0o777 == 0o700


def test_machines_that_booted_with_empty_disks_are_restored(
    hactl: Run, restore: Restore, made: Machines, tmp_path: Path
) -> None:
    """An etcd begins on them by itself; it is as good as none."""
    file = tmp_path / "snapshot.db"
    assert hactl("etcd", "snapshot", file, "--config", made.of["n1"].places.node_toml)[0] == 0
    for _ in range(2):  # once more, from the same file
        for machine in made.of.values():
            machine.stop_etcd()
            shutil.rmtree(data_of(machine))
        for machine in made.of.values():
            machine.start_etcd()
        for machine in made.of.values():
            status, out, err = restore(machine, "--yes", file)
            assert (status, err) == (0, "") and "restored and started" in out
        until(lambda: is_well(hactl, made.of["n2"]), "three members are one cluster")


def test_machines_that_came_later_are_restored_as_the_others(
    hactl: Run, restore: Restore, made: Machines, tmp_path: Path
) -> None:
    """Their settings have another token, and say that they come to an etcd that is there: so one with an empty disk
    joins by itself what the others have restored. n2 does, n3 does not."""
    n1, n2, n3 = (made.of[name] for name in NAMES)
    file = tmp_path / "snapshot.db"
    put(n1, "before")
    assert hactl("etcd", "snapshot", file, "--config", n1.places.node_toml)[0] == 0
    for machine in made.of.values():
        machine.stop_etcd()
        shutil.rmtree(data_of(machine))
    for machine in (n2, n3):
        env = Path(machine.places.etcd_env)
        text = env.read_text().replace("STATE=new", "STATE=existing").replace("TOKEN=token", "TOKEN=token-of-its-own")
        env.write_text(text)
    assert restore(n3, "--yes", file)[0] == 0
    assert restore(n1, "--yes", file)[0] == 0
    until(lambda: {read(machine) for machine in (n1, n3)} == {"before"}, "two of them are one cluster")
    n2.start_etcd()
    until(lambda: is_well(hactl, n1), "three members are one cluster")
    inode = data_of(n2).stat().st_ino
    status, out, _ = restore(n2, "--yes", file)
    assert status == 0 and "it was restored from this file before" in out and data_of(n2).stat().st_ino == inode


def test_the_majority_is_lost_and_one_machine_has_its_data(
    hactl: Run, restore: Restore, made: Machines, tmp_path: Path
) -> None:
    n1, n2, n3 = (made.of[name] for name in NAMES)
    put(n1, "last")
    for machine in (n2, n3):
        machine.stop_etcd()
    until(lambda: "no majority" in hactl("etcd", "status", "--config", n1.places.node_toml)[1], "n1 knows no leader")
    status, _, err = hactl("etcd", "snapshot", tmp_path / "x.db", "--config", n1.places.node_toml)
    assert status == 1 and "no member of etcd can give a snapshot: etcd has no majority" in err
    copy = tmp_path / "db"
    status, _, err = restore(n1, "--yes", "--without-sum", data_of(n1) / "member/snap/db")
    assert status == 2 and "is in use by etcd: `systemctl stop etcd`, copy it elsewhere" in err
    n1.stop_etcd()
    shutil.copy(data_of(n1) / "member/snap/db", copy)
    # n3 comes back with its old data in the end; n2's are gone.
    shutil.rmtree(data_of(n2))
    os.chown(data_of(n1), *NOBODY)
    status, _, err = restore(n1, "--yes", copy)
    assert status == 1 and "`--without-sum` for that" in err
    for machine in (n1, n2):
        status, _, err = restore(machine, "--yes", "--without-sum", copy)
        assert (status, err) == (0, "")
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in [data_of(n1), *data_of(n1).rglob("*")]}
    assert NOBODY in owners  # that of the data before; what etcd wrote since is its process's
    assert data_of(n1).joinpath("member/snap/db").stat().st_uid == NOBODY[0]
    assert "hactl.before-restore-" in "".join(path.name for path in data_of(n1).parent.iterdir())
    until(lambda: "2 of 3 members answer" in hactl("etcd", "status", "--config", n1.places.node_toml)[1])
    assert {read(machine) for machine in (n1, n2)} == {"last"}
    n3.start_etcd()
    log = Path(n3.places.root, "etcd.log")
    until(lambda: "cluster ID mismatch" in log.read_text(), "n3's old data are of another cluster")
    assert {read(machine) for machine in (n1, n2)} == {"last"}
    assert restore(n3, "--yes", "--without-sum", copy)[0] == 0
    until(lambda: is_well(hactl, n3), "three members are one cluster")
    recovered(hactl, n1)


def test_all_is_lost_and_no_snapshot_is_there(hactl: Run, made: Machines) -> None:
    """A new etcd, its users by a repeat of setup; then the history begins anew, above the known generation."""
    n1 = made.of["n1"]
    state_file = Path(n1.places.root, "identity.json")
    state_file.write_text(json.dumps({"uuid": "u", "generation": 4, "revision": 100}))
    for machine in made.of.values():
        machine.stop_etcd()
        data_of(machine).rename(data_of(machine).with_name("hactl.lost"))
    for machine in made.of.values():
        machine.start_etcd()
    with pytest.raises(RefusedError, match="etcd has lost it: `hactl recover CLUSTER_YAML`"):
        set_up(plan_of(made), n1.places, n1, lambda _: None, by="root@n1", ssh_user="", deadline=float("inf"))
    assert is_well(hactl, n1)
    status, out, err = hactl("recover", "--yes", n1.places.cluster_yaml, "--config", n1.places.node_toml)
    assert status == 0 and "generation 5" in out, err
    put(made.of["n2"], "as its user")


def test_what_a_restore_refuses(hactl: Run, restore: Restore, made: Machines, tmp_path: Path) -> None:
    n1 = made.of["n1"]
    file = tmp_path / "snapshot.db"
    assert hactl("etcd", "snapshot", file, "--config", n1.places.node_toml)[0] == 0
    for machine in made.of.values():
        machine.stop_etcd()
    before, done = sorted(data_of(n1).parent.iterdir()), list(n1.done)
    whole = file.read_bytes()
    for words, status, said in (
        ([tmp_path / "no.db"], 1, "No such file"),
        ([file, "--members", "n2=https://10.0.0.2:2380"], 2, "`n1` is none of the members: n2"),
        ([file, "--members", "n1"], 2, "write NAME=https://"),
        ([file, "--members", "n1=https://10.0.0.1:2380"], 1, "snapshot restore"),
    ):
        answer = restore(n1, "--yes", *words)
        assert answer[0] == status and said in answer[2]
    file.write_bytes(whole[:9000] + b"!!" + whole[9002:])
    assert "is damaged" in restore(n1, "--yes", file)[2]
    assert "no terminal" in restore(n1, file)[2]
    assert sorted(data_of(n1).parent.iterdir()) == before and n1.done == done
    # A cluster of one, of the machine that is left.
    file.write_bytes(whole)
    url = json.dumps(n1.address).strip('"')
    assert restore(n1, "--yes", file, "--members", f"n1=https://{url}:2380")[0] == 0
    until(lambda: "etcd has 1 member for 3 nodes" in hactl("etcd", "status", "--config", n1.places.node_toml)[1])
