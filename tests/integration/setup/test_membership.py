"""`hactl node add|remove|replace|rename` with real etcds: learners, promotion, certificates, users."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from hactl.admin.etcd.settings_file import read_settings
from hactl.cli.main import run
from hactl.setup.errors import BadInputError, RefusedError
from hactl.setup.etcdctl import Etcdctl
from hactl.setup.first import agreed_plan
from hactl.setup.membership.quorum import Members
from hactl.setup.membership.sight import voters_of
from hactl.setup.plan import Plan
from hactl.status.document import node_names
from tests.support.membership import Cluster, CommandEndedError, NodeMachine, NotConfirmedError, cluster

# Up to five etcds, and a command again and again.
pytestmark = pytest.mark.timeout(400)


def names(members: Members) -> list[str]:
    """Of etcd's members, all of which vote and answer."""
    assert members.learner is None and len(members.answering) == len(members.all)
    return sorted(member.name for member in members.voters)


def users(made: Cluster) -> list[str]:
    etcdctl = Etcdctl.admin(voters_of(made.etcd()), made.of["n1"].places)
    return sorted(etcdctl("user", "list").split())


def in_config(made: Cluster) -> list[str]:
    """The nodes, as the daemons and the file have them."""
    known = [node.name for node in made.known().spec.nodes]
    assert all(f"name: {name}\n" in made.yaml() for name in known)
    return known


def begins_with(machine: NodeMachine) -> list[str]:
    """The addresses of the members in etcd's settings there: a restore makes them."""
    return sorted(read_settings(Path(machine.places.etcd_env).read_text(), Path("etcd.env")).members.values())


def one_by_one(command: Callable[[int], Plan]) -> int:
    """Run a command again and again, each time interrupted after one step more than nothing; the number of runs."""
    for runs in itertools.count(1):
        assert runs < 40
        try:
            command(1)
        except CommandEndedError:
            continue
        return runs
    raise AssertionError


def test_a_machine_comes(tmp_path: Path) -> None:
    with cluster(tmp_path, "n1", "n2", "n3") as made:
        made.new("n4", 14)
        made.add(made.host("n4").text)
        assert names(made.etcd()) == ["n1", "n2", "n3"] and made.plan.without_member == ("n4",)
        assert in_config(made) == ["n1", "n2", "n3", "n4"]
        assert "start hactl" in made.of["n4"].done and "start etcd" not in made.of["n4"].done
        assert users(made) == ["hactl-n1", "hactl-n2", "hactl-n3", "hactl-n4", "root"]
        with pytest.raises(RefusedError, match="is a node of the cluster already"):
            made.add(made.host("n4").text)
        # The fifth makes one more member worth it; the fourth gets one, too.
        made.new("n5", 15)
        made.add(made.host("n5").text)
        assert names(made.etcd()) == ["n1", "n2", "n3", "n5"] and made.plan.even
        made.add("n4", member=True)
        assert names(made.etcd()) == ["n1", "n2", "n3", "n4", "n5"]
        assert made.of["n4"].done[-2:] == ["enable etcd", "start etcd"] or "restart hactl" in made.of["n4"].done
        for name in ("n1", "n2", "n3", "n4", "n5"):
            assert len(made.of[name].config().endpoints) == 5
            assert begins_with(made.of[name]) == [made.host(name).url(2380) for name in names(made.etcd())]
            assert made.host(name).url(2379) == made.of[name].config().endpoints[0]
            assert "restart etcd" not in made.of[name].done


def test_a_machine_comes_step_by_step(tmp_path: Path) -> None:
    """Interrupted after every step, and repeated."""
    with cluster(tmp_path, "n1", "n2", "n3") as made:
        made.new("n4", 14)
        text = made.host("n4").text
        assert one_by_one(lambda steps: made.add(text, member=True, steps=steps)) > 5
        assert names(made.etcd()) == ["n1", "n2", "n3", "n4"] and in_config(made)[-1] == "n4"
        assert made.plan.change is None


def test_a_machine_that_never_comes_is_given_up(tmp_path: Path) -> None:
    with cluster(tmp_path, "n1", "n2", "n3") as made:
        made.new("n4", 14)
        made.types = False
        with pytest.raises(CommandEndedError):
            made.add(made.host("n4").text, member=True, steps=4)
        assert made.etcd().learner is not None
        with pytest.raises(RefusedError, match=r"first `hactl node add n4=.*which goes on"):
            made.rename("n3", "x")
        with pytest.raises(RefusedError, match="hactl node add n4="):
            agreed_plan(None, made.of["n1"].places)
        made.types = True
        made.remove("n4")
        assert names(made.etcd()) == ["n1", "n2", "n3"] and users(made) == ["hactl-n1", "hactl-n2", "hactl-n3", "root"]


def test_a_machine_goes(tmp_path: Path) -> None:
    with cluster(tmp_path, "n1", "n2", "n3") as made:
        one_by_one(lambda steps: made.remove("n3", steps=steps))
        assert names(made.etcd()) == ["n1", "n2"] and in_config(made) == ["n1", "n2"]
        assert users(made) == ["hactl-n1", "hactl-n2", "root"]
        view, spec = made.known()
        assert node_names(view, spec) == ["n1", "n2"]
        assert not [stored.key for stored in view.snapshot().items if "n3" in stored.key]
        assert not Path(made.of["n1"].places.bundle("n3")).exists()
        assert len(made.of["n2"].config().endpoints) == 2
        assert all(len(begins_with(made.of[name])) == 2 for name in ("n1", "n2"))
        # The same name comes back.
        made.new("n3", 13)
        made.add(made.host("n3").text)
        assert names(made.etcd()) == ["n1", "n2", "n3"]


def test_what_may_not_go(tmp_path: Path) -> None:
    with cluster(tmp_path, "n1", "n2", "n3") as made:
        with pytest.raises(BadInputError, match="no machine `n9`: there are n1="):
            made.remove("n9")
        with pytest.raises(RefusedError, match="n1 is this machine, which has the cluster's authority"):
            made.remove("n1")
        made.power_cut("n3")
        with pytest.raises(RefusedError, match=r"without n2, 1 of etcd's 2 members would answer \(n3 would not\)"):
            made.remove("n2")
        made.new("n4", 14)
        with pytest.raises(RefusedError, match="etcd's member n3 does not answer: repair or replace it first"):
            made.add(made.host("n4").text, member=True)
        with pytest.raises(RefusedError, match="n2 is alive"):
            made.replace("n2")
        with pytest.raises(NotConfirmedError):
            made.remove("n3")
        with pytest.raises(RefusedError, match="while n2 restarts, 1 of etcd's 3 members"):
            made.rename("n2", "x")
        assert made.plan.change is None


def test_a_change_is_given_up(tmp_path: Path) -> None:
    """A removal and another name, each begun and taken back."""
    with cluster(tmp_path, "n1", "n2", "n3") as made:
        while len(made.etcd().all) == 3:
            with pytest.raises(CommandEndedError):
                made.remove("n3", steps=1)
        text = made.host("n3").text
        made.of["n3"].stop_etcd()
        made.new("n3", 13)
        made.add(text)
        assert names(made.etcd()) == ["n1", "n2", "n3"] and in_config(made) == ["n1", "n2", "n3"]
        with pytest.raises(CommandEndedError):
            made.rename("n3", "db1", steps=5)
        assert in_config(made) == ["n1", "n2", "db1"]
        made.rename("db1", "n3")
        assert names(made.etcd()) == ["n1", "n2", "n3"] and in_config(made) == ["n1", "n2", "n3"]
        assert users(made) == ["hactl-n1", "hactl-n2", "hactl-n3", "root"]


def test_a_file_with_other_changes_is_not_put_to_use(tmp_path: Path) -> None:
    with cluster(tmp_path, "n1", "n2", "n3") as made:
        path = Path(made.of["n1"].places.cluster_yaml)
        path.write_text(path.read_text().replace("profile: default", "profile: fast"))
        made.new("n4", 14)
        with pytest.raises(RefusedError, match=r"is not the configuration in use .*hactl config diff"):
            made.add(made.host("n4").text)
        assert made.plan.change is None and made.plan.host("n4") is None


def test_a_reinstalled_machine(tmp_path: Path) -> None:
    with cluster(tmp_path, "n1", "n2", "n3") as made:
        old = made.etcd()
        made.power_cut("n3")
        made.new("n3", 13)
        with pytest.raises(NotConfirmedError):
            made.replace("n3")
        one_by_one(lambda steps: made.replace("n3", dead=True, steps=steps))
        assert names(made.etcd()) == ["n1", "n2", "n3"]
        new = {member.id for member in made.etcd().all} - {member.id for member in old.all}
        assert len(new) == 1
        assert "n3" in made.known().view.sessions and in_config(made) == ["n1", "n2", "n3"]


def test_a_new_machine_with_another_address(tmp_path: Path) -> None:
    with cluster(tmp_path, "n1", "n2", "n3") as made:
        made.power_cut("n3")
        made.new("n3", 33)
        made.replace(made.host("n3").text, dead=True)
        assert names(made.etcd()) == ["n1", "n2", "n3"]
        assert made.known().spec.address("n3") == made.of["n3"].address
        assert made.host("n3").url(2379) in made.of["n2"].config().endpoints


def test_data_of_before_are_refused(tmp_path: Path) -> None:
    """The disk of the old machine is still in the new one: its etcd is of a member that is gone."""
    with cluster(tmp_path, "n1", "n2", "n3") as made:
        made.power_cut("n3")
        with pytest.raises(RefusedError, match=r"holds the data of another etcd cluster.*mv"):
            made.replace("n3", dead=True)


def test_another_name(tmp_path: Path) -> None:
    with cluster(tmp_path, "n1", "n2", "n3") as made:
        old = made.etcd()
        one_by_one(lambda steps: made.rename("n3", "db1", steps=steps))
        assert names(made.etcd()) == ["db1", "n1", "n2"]
        assert {member.id for member in made.etcd().all} == {member.id for member in old.all}
        assert users(made) == ["hactl-db1", "hactl-n1", "hactl-n2", "root"]
        assert in_config(made) == ["n1", "n2", "db1"]
        view, spec = made.known()
        assert sorted(view.sessions) == ["db1", "n1", "n2"] and node_names(view, spec) == ["n1", "n2", "db1"]
        assert not view.standby


def test_another_name_for_this_machine(tmp_path: Path) -> None:
    with cluster(tmp_path, "n1", "n2", "n3") as made:
        made.rename("n1", "first")
        assert names(made.etcd()) == ["first", "n2", "n3"] and made.of["n1"].config().node == "first"


def test_a_clone_is_refused(tmp_path: Path) -> None:
    with cluster(tmp_path, "n1", "n2", "n3") as made:
        clone = made.new("n4", 14)
        Path(clone.places.root, "etc/machine-id").write_bytes(
            Path(made.of["n2"].places.root, "etc/machine-id").read_bytes()
        )
        with pytest.raises(RefusedError, match=r"has the machine id of n2.*systemd-machine-id-setup"):
            made.add(made.host("n4").text)
        assert clone.done == []


def test_a_witness_goes_when_there_are_three_nodes(tmp_path: Path) -> None:
    with cluster(tmp_path, "n1", "n2", witness="w") as made:
        made.new("n3", 14)
        made.add(made.host("n3").text)
        assert made.plan.without_member == ("n3",)
        made.add("n3", member=True)
        made.remove("w")
        assert names(made.etcd()) == ["n1", "n2", "n3"] and made.plan.witness is None


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a machine that is off: refused without the operator's word, and done with it."""
    with cluster(tmp_path, "n1", "n2", "n3") as made:
        n1 = made.of["n1"]
        monkeypatch.setattr("hactl.setup.places.Places", lambda: n1.places)
        monkeypatch.setattr("hactl.setup.machine.Machine", lambda: n1)
        monkeypatch.setenv("HACTL_CONFIG", n1.places.node_toml)

        def typed(*words: str) -> tuple[int, str]:
            monkeypatch.setattr("sys.argv", ["hactl", "node", *words])
            with pytest.raises(SystemExit) as end:
                run()
            said = capsys.readouterr()
            return int(end.value.code or 0), said.out + said.err

        made.power_cut("n3")
        status, said = typed("remove", "n3", "--yes")
        assert status == 1 and "n3's last session is not known to be stopped" in said and "--dead" in said
        status, said = typed("remove", "n3", "--yes", "--dead")
        assert status == 0, said
        assert "n3 is no part of the cluster any more" in said and "etcd has 2 members: an even number" in said
        assert "on n2, as root: scp" in said and "hactl setup join n2.join" in said
        assert names(made.etcd()) == ["n1", "n2"]
        assert typed("remove", "n9", "--yes")[0] == 2
        Path(n1.places.plan).unlink()
        status, said = typed("remove", "n2", "--yes")
        assert status == 2 and "run this on the machine where `hactl setup` ran" in said
