"""`hactl setup` with real openssl and a real etcd of three, on addresses of loopback."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from election.store import StoreRefusedError
from hactl.config.etcd_access import open_etcd, unusable
from hactl.config.node import NodeConfig, load_node
from hactl.setup import authority
from hactl.setup.begin import prepare
from hactl.setup.certificates import of_this_machine, shown_by
from hactl.setup.errors import BadInputError, NotYetError, RefusedError
from hactl.setup.files import Change
from hactl.setup.first import agreed_plan, foresee, prepare_only, renew_certificates, set_up
from hactl.setup.join import join, read_bundle
from hactl.setup.members import answer_of, wait_for_members
from hactl.setup.plan import CLIENT_PORT, PEER_PORT, Host, Plan, make_plan
from tests.support.setup_machines import Machines, machines

WAIT_S = 60.0


def plan_of(made: Machines, nodes: int = 3) -> Plan:
    texts = [host.text for host in made.hosts]
    return make_plan("prod", texts[:nodes], token="token", witness="".join(texts[nodes:]))


def first(made: Machines, plan: Plan, wait_s: float = WAIT_S) -> list[str]:
    """`hactl setup` on n1; what it said."""
    machine, said = made.of["n1"], list[str]()
    deadline = time.monotonic() + wait_s
    set_up(plan, machine.places, machine, said.append, by="root@n1", ssh_user="", deadline=deadline)
    return said


def others(made: Machines, *names: str) -> None:
    """`hactl setup join FILE` on others."""
    for name in names:
        machine = made.of[name]
        bundle = read_bundle(made.of["n1"].places.bundle(name))
        join(bundle, machine.places, machine, made.say(name).append)


def config_of(made: Machines, name: str) -> NodeConfig:
    return load_node(Path(made.of[name].places.node_toml))


def begun(made: Machines, plan: Plan) -> list[str]:
    """The whole, with the other machines before the first; what the first said."""
    n1 = made.of["n1"]
    prepare(plan, n1.places, n1, lambda _: None)
    others(made, *(host.name for host in plan.hosts if host.name != "n1"))
    return first(made, plan)


def test_three_machines(tmp_path: Path) -> None:
    with machines(tmp_path, "n1", "n2", "n3") as made:
        plan = plan_of(made)
        said = begun(made, plan)
        assert "etcd is one cluster of 3: n1, n2, n3" in said
        assert said[-1] == "the cluster prod has begun"
        for name in ("n1", "n2", "n3"):
            config = config_of(made, name)
            assert list(unusable(config)) == []
            with closing(open_etcd(config)) as store:
                assert store.get("/hactl/prod/config", timeout_s=3.0)[0] is not None
                with pytest.raises(StoreRefusedError, match="permission denied"):
                    store.get("/registry/secrets", timeout_s=3.0)
        # Once more: nothing is written, and nothing is done to the units.
        done = [list(machine.done) for machine in made.of.values()]
        said = first(made, plan)
        others(made, "n2", "n3")
        assert not [line for line in said if line.startswith(("written", "started"))], said
        assert said[-1] == "the cluster prod has begun already"
        assert [machine.done for machine in made.of.values()] == done


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """All files of a machine but etcd's data: mode and content."""
    files = [path for path in root.rglob("*") if path.is_file() and "/var/lib/etcd/" not in str(path)]
    return {str(path): (path.stat().st_mode, path.read_bytes()) for path in files if path.suffix != ".log"}


def checked(made: Machines, plan: Plan, name: str) -> list[str]:
    """The changes that `--check` says on a machine, which must not do them."""
    machine, said = made.of[name], list[str]()
    before, done = tree(Path(machine.places.root)), list(machine.done)
    if name == "n1":
        foresee(plan, machine.places, machine.unchanged(), said.append)
    else:
        join(read_bundle(made.of["n1"].places.bundle(name)), machine.places, machine.unchanged(), said.append)
    assert tree(Path(machine.places.root)) == before
    assert machine.done == done
    return [line for line in said if isinstance(line, Change)]


def test_what_would_be_changed_is_said_and_not_done(tmp_path: Path) -> None:
    with machines(tmp_path, "n1", "n2", "n3") as made:
        plan, n1 = plan_of(made), made.of["n1"]
        assert [line.split(":")[0] for line in checked(made, plan, "n1")] == [f"written    {n1.places.authority}"]
        prepare_only(plan, n1.places, n1, lambda _: None)
        assert n1.done == []
        on_n1, on_n2 = checked(made, plan, "n1"), checked(made, plan, "n2")
        assert on_n1[-1] == "the cluster prod has begun"
        assert f"written    {made.of['n2'].places.node_toml}" in on_n2
        assert "started    hactl-http.service, also at every boot" in on_n2
        assert "started    hactl-etcd-snapshot.timer, also at every boot" in on_n2
        others(made, "n2", "n3")
        said = first(made, plan)
        assert set(on_n1) < {line for line in said if isinstance(line, Change)}
        assert set(on_n2) == {line for line in made.say("n2") if isinstance(line, Change)}
        again = [line for line in [*first(made, plan), *checked(made, plan, "n1")] if isinstance(line, Change)]
        assert [*again, *checked(made, plan, "n2")] == []
        Path(made.of["n2"].places.cluster_key).chmod(0o644)
        assert checked(made, plan, "n2") == [f"written    {made.of['n2'].places.cluster_key}"]


def test_it_waits_and_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    with machines(tmp_path, "n1", "n2", "n3") as made:
        plan = plan_of(made)
        with pytest.raises(
            NotYetError, match=r"n2: has not joined yet; n3: has not joined yet; .*repeat `hactl setup`"
        ):
            first(made, plan, wait_s=0.0)
        assert agreed_plan(None, made.of["n1"].places) == plan
        result: list[list[str]] = []
        going_on = threading.Thread(target=lambda: result.append(first(made, plan)))
        going_on.start()
        others(made, "n2", "n3")
        going_on.join(WAIT_S)
        assert result and result[0][-1] == "the cluster prod has begun"


def test_a_join_that_failed_half_way_is_repeated(tmp_path: Path) -> None:
    with machines(tmp_path, "n1", "n2", "n3") as made:
        plan, n1, n2 = plan_of(made), made.of["n1"], made.of["n2"]
        prepare(plan, n1.places, n1, lambda _: None)
        Path(n2.places.cluster_key).mkdir(parents=True)  # it is written after the drop-in of etcd's unit
        with pytest.raises(RefusedError, match=r"cluster\.key cannot be"):
            others(made, "n2")
        assert n2.done == []
        Path(n2.places.cluster_key).rmdir()
        others(made, "n2")
        assert n2.done[:3] == ["reload", "enable etcd", "start etcd"]


def test_a_copy_of_the_first_machine_is_refused(tmp_path: Path) -> None:
    with machines(tmp_path, "n1", "n2", "n3") as made:
        plan, n1, n2 = plan_of(made), made.of["n1"], made.of["n2"]
        prepare(plan, n1.places, n1, lambda _: None)
        copied = Path(n1.places.root, "etc/machine-id").read_text()
        Path(n2.places.root, "etc/machine-id").write_text(copied)
        with pytest.raises(RefusedError, match=r"this machine has the machine id of n1, .*systemd-machine-id-setup"):
            others(made, "n2")
        assert n2.done == []


def test_how_a_machine_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert answer_of(Host("n", "127.0.0.1"), server.getsockname()[1]) == "accepts"
    assert answer_of(Host("n", "127.3.3.3"), 1) == "refuses"
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as waits:
        waits.connect(full.getsockname())  # the kernel takes no second one
        assert answer_of(Host("n", "127.0.0.1"), full.getsockname()[1]) == "silent"


def test_two_nodes_and_a_witness(tmp_path: Path) -> None:
    with machines(tmp_path, "n1", "n2", "w") as made:
        said = begun(made, plan_of(made, nodes=2))
        assert "etcd is one cluster of 3: n1, n2, w" in said
        assert "etcd takes requests of its users only: root, hactl-n1, hactl-n2" in said
        witness = made.of["w"]
        assert witness.done == ["reload", "enable etcd", "start etcd"]
        assert not Path(witness.places.node_toml).exists() and not Path(witness.places.pki).exists()
        witness.stop_etcd()
        with closing(open_etcd(config_of(made, "n2"))) as store:
            assert store.get("/hactl/prod/config", timeout_s=5.0)[0] is not None


def test_another_plan_is_refused_with_the_first_one(tmp_path: Path) -> None:
    with machines(tmp_path, "n1", "n2", "n3") as made:
        plan, n1 = plan_of(made), made.of["n1"]
        prepare(plan, n1.places, n1, lambda _: None)
        with pytest.raises(BadInputError) as refused:
            agreed_plan(make_plan("prod", [made.hosts[0].text], token="t"), n1.places)
        assert plan.command in str(refused.value)


def test_a_clock_that_is_off(tmp_path: Path) -> None:
    with machines(tmp_path, "n1", "n2", "n3") as made:
        plan, n1 = plan_of(made), made.of["n1"]
        prepare(plan, n1.places, n1, lambda _: None)
        made.of["n2"].clock_off_s = -300.0
        with pytest.raises(RefusedError, match="clock is 5 minutes behind"):
            others(made, "n2")
        assert made.of["n2"].done == []
        made.of["n2"].clock_off_s = 0.0
        others(made, "n2", "n3")
        n1.clock_off_s = 600.0
        with pytest.raises(RefusedError, match=r"the clock of n. is 60\d s behind this machine's"):
            first(made, plan)


def test_members_of_another_setup_are_refused(tmp_path: Path) -> None:
    """n2 and n3 were begun as a cluster of their own by the same certificates."""
    with machines(tmp_path, "n1", "n2", "n3") as made:
        plan, n1 = plan_of(made), made.of["n1"]
        prepare(plan, n1.places, n1, lambda _: None)
        for name in ("n2", "n3"):
            machine = made.of[name]
            bundle = read_bundle(n1.places.bundle(name))
            join(bundle, machine.places, machine, lambda _: None)
            machine.stop_etcd()
            env = Path(machine.places.etcd_env)
            alone = f"{name}=https://{machine.address}:2380"
            lines = [line for line in env.read_text().splitlines() if not line.startswith("ETCD_INITIAL_CLUSTER=")]
            env.write_text("\n".join([*lines, f"ETCD_INITIAL_CLUSTER={alone}"]) + "\n")
            machine.start_etcd()
        with pytest.raises(RefusedError, match="different clusters"):
            first(made, plan)


def served(url: str) -> datetime:
    (shown,) = shown_by([url])
    assert shown.end is not None, shown.problem
    return shown.end


@pytest.mark.parametrize("new_keys", [False, True])
def test_certificates_are_renewed_while_everything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_keys: bool
) -> None:
    monkeypatch.setattr(authority, "CERTIFICATE_DAYS", 10)
    with machines(tmp_path, "n1", "n2", "n3") as made:
        begun(made, plan_of(made))
        monkeypatch.setattr(authority, "CERTIFICATE_DAYS", 20)
        n1, config = made.of["n1"], config_of(made, "n2")
        urls = [host.url(port) for host in made.hosts for port in (CLIENT_PORT, PEER_PORT)]
        old_key = Path(made.of["n2"].places.etcd, "server.key").read_text()
        with closing(open_etcd(config)) as open_before:
            assert open_before.get("/hactl/prod/config", timeout_s=3.0)[0] is not None
            done = [list(machine.done) for machine in made.of.values()]
            renew_certificates(n1.places, n1, made.say("n1").append, ssh_user="", new_keys=new_keys)
            others(made, "n2", "n3")
            assert [machine.done for machine in made.of.values()] == done
            assert {(served(url) - datetime.now(UTC)).days for url in urls} == {19}
            assert open_before.get("/hactl/prod/config", timeout_s=3.0)[0] is not None
        assert (Path(made.of["n2"].places.etcd, "server.key").read_text() != old_key) == new_keys
        with closing(open_etcd(config)) as open_after:
            assert open_after.get("/hactl/prod/config", timeout_s=3.0)[0] is not None
        # The members find each other by the new ones, too.
        made.of["n3"].stop_etcd()
        made.of["n3"].start_etcd()
        wait_for_members(config_of(made, "n3"), [made.hosts[2], *made.hosts[:2]], time.monotonic() + WAIT_S, print)
        shown = of_this_machine(made.of["n2"].places)
        assert {certificate.name for certificate in shown} == {"hactl-n2", "root", "hactl prod", "", "n2"}
        assert not [certificate for certificate in shown if certificate.problem]


def test_certificates_are_renewed_where_the_authority_is(tmp_path: Path) -> None:
    with machines(tmp_path, "n1") as made:
        n1 = made.of["n1"]
        with pytest.raises(RefusedError, match="the one where `hactl setup` ran"):
            renew_certificates(n1.places, n1, print, ssh_user="", new_keys=False)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda ca: (ca / "ca.key").chmod(0o640), "chmod 600"),
        (lambda ca: os.chown(ca / "ca.key", 1, 1), "chown root:root"),
        (lambda ca: (ca / "ca.key").unlink(), "bring it back from a backup"),
        (lambda ca: (ca / "ca.pem").write_text("spoilt"), "no certificate in PEM form; bring it back"),
    ],
)
def test_an_authority_that_cannot_be_used(tmp_path: Path, spoil: Callable[[Path], None], words: str) -> None:
    with machines(tmp_path, "n1", "n2", "n3") as made:
        plan, n1 = plan_of(made), made.of["n1"]
        prepare(plan, n1.places, n1, lambda _: None)
        spoil(Path(n1.places.authority))
        with pytest.raises(RefusedError, match=words):
            prepare(plan, n1.places, n1, lambda _: None)
