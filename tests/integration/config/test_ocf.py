"""Resources of kind ocf against their agents, as they are installed: `hactl config check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from hactl.admin.config import Report, check_file
from hactl.config.load import load_cluster
from hactl.model.cluster import ClusterSpec
from hactl.model.resources import PromoteSpec
from tests.support.toy_ocf import ToyOcf

CLUSTER = """\
cluster: demo
nodes: [{name: n1, address: 192.0.2.1}, {name: n2, address: 192.0.2.2}, {name: n3, address: 192.0.2.3}]
groups:
  - name: files
    fencing: required
    nodes: [n1, n2]
    resources:
"""
RESOURCE = """\
      - name: {name}
        ocf:
          agent: {agent}
          {section}: {{{given}}}
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyOcf:
    return ToyOcf(tmp_path, monkeypatch)


def check(
    toy: ToyOcf,
    given: str = "",
    agent: str = "test:toy",
    *,
    node: str = "n1",
    more: str = "",
    section: str = "parameters",
) -> Report:
    """A resource with these parameters, on this node."""
    given = given or f"dir: {toy.dir}"
    path = toy.dir.parent / "cluster.yaml"
    path.write_text(CLUSTER + RESOURCE.format(name="a", agent=agent, given=given, section=section) + more)
    return check_file(path, node=node)


def said(report: Report) -> list[str]:
    """What is said of the resources' agents."""
    return [line for line in report.lines if ".ocf" in line]


def test_a_good_resource_passes_and_its_agent_validates_it(toy: ToyOcf) -> None:
    report = check(toy)
    assert report.ok and said(report) == []
    assert toy.asked() == ["validate-all"]


@pytest.mark.parametrize("node", ["", "n3"])
def test_where_it_does_not_run_it_is_not_validated(toy: ToyOcf, node: str) -> None:
    assert check(toy, node=node).ok and toy.asked() == []


NO_NUMBER = 'parameters.speed: parameter `speed`: `fast` is not a whole number; "How fast it is"'
WRONG = {
    "unknown": (
        "dir: /x, sped: 1",
        11,
        'parameters.sped: test:toy has no parameter `sped`; did you mean `speed`, "How',
    ),
    "type": ("dir: /x, speed: fast", 11, NO_NUMBER),
    "missing": ("speed: 1", 10, 'ocf: test:toy needs the parameter `dir`; "Where the file is"'),
    "secret": ("dir: /x, password: sesame", 11, "parameters.password: parameter `password` would be kept in etcd"),
}


@pytest.mark.parametrize("node", ["", "n1", "n3"])
@pytest.mark.parametrize(("given", "place", "says"), WRONG.values(), ids=WRONG)
def test_what_its_agent_does_not_know_is_refused_at_its_place(
    toy: ToyOcf, given: str, place: int, says: str, node: str
) -> None:
    report = check(toy, given, node=node)
    assert not report.ok
    (line,) = said(report)
    assert says in line and "sesame" not in line
    assert line.startswith(f"error: {toy.dir.parent}/cluster.yaml:{place}:")
    assert toy.asked() == []


def test_everything_is_said_at_once(toy: ToyOcf) -> None:
    more = RESOURCE.format(name="b", agent="test:toi", given="", section="parameters")
    more += RESOURCE.format(name="c", agent="test:toy", given="dir: /x, speed: y, z: 1", section="parameters")
    assert len(said(check(toy, "zzz: 1", more=more))) == 5


def test_an_agent_that_does_not_exist_is_an_error_where_it_would_run(toy: ToyOcf) -> None:
    report = check(toy, agent="tets:toy")
    (line,) = said(report)
    assert not report.ok
    assert line.endswith("ocf.agent: there is no agent tets:toy on this node, n1; did you mean `test:toy`?")
    for node, named in (("n3", "this node, n3"), ("", "this machine")):
        report = check(toy, agent="tets:toy", node=node)
        (line,) = said(report)
        assert report.ok
        assert f"there is no agent tets:toy on {named}, so that its parameters are not checked; did you mean" in line


def test_a_provider_s_package_is_named(toy: ToyOcf) -> None:
    (line,) = said(check(toy, agent="heartbeat:IPsrcaddr"))
    assert line.endswith("; `apt install resource-agents`, or see `hactl resource agents`")


def test_an_agent_without_an_action_that_is_needed_is_refused(toy: ToyOcf) -> None:
    toy.edit('action name="monitor"', 'action name="status"')
    report = check(toy)
    assert not report.ok and "test:toy has no action `monitor`" in said(report)[0]


def test_an_agent_that_does_not_work_is_refused(toy: ToyOcf) -> None:
    toy.install("#!/bin/sh\necho 'no license' >&2\nexit 1\n")
    report = check(toy)
    assert not report.ok and "does not work here: meta-data ended with exit status 1: no license" in said(report)[0]


def test_an_agent_that_others_may_change_is_not_run(toy: ToyOcf) -> None:
    toy.install(f"#!/bin/sh\ntouch {toy.dir}/ran\n")
    toy.path.chmod(0o757)
    report = check(toy)
    assert not report.ok and "others may change what" in said(report)[0] and "`chmod go-w " in said(report)[0]
    assert not (toy.dir / "ran").exists()


def test_what_validate_all_says_is_a_warning(toy: ToyOcf) -> None:
    """A resource that starts before it may bring what it lacks."""
    toy.does("validate-all", 'echo "ocf-exit-reason:no such directory: /srv" >&2; exit 5')
    report = check(toy)
    (line,) = said(report)
    assert report.ok and line.startswith("warning: ")
    assert "on this node, n1: validate-all: exit status 5: what it needs is not installed" in line
    assert "no such directory: /srv; right if a resource before it" in line


def test_a_secret_that_is_not_here_is_a_warning_here(toy: ToyOcf) -> None:
    secrets = f"password: {toy.dir}/no, dir: {toy.dir}/neither"
    lines = said(check(toy, secrets, section="secrets"))
    assert len(lines) == 2
    assert f"secrets.password: on this node, n1: secret file {toy.dir}/no: No such file" in lines[0]
    assert said(check(toy, secrets, section="secrets", node="n3")) == []


def test_a_value_that_must_be_one_resource_s_alone_is_told(toy: ToyOcf) -> None:
    toy.edit('name="dir"', 'name="dir" unique="1"')
    more = RESOURCE.format(name="b", agent="test:toy", given=f"dir: {toy.dir}", section="parameters")
    report = check(toy, more=more)
    (line,) = said(report)
    assert report.ok and "resources[1].ocf.parameters.dir: `dir: " in line and "is there already: groups[0]" in line


def times(spec: ClusterSpec) -> tuple[float, float, float]:
    (resource,) = spec.groups[0].resources
    return resource.start_timeout_ms, resource.stop_timeout_ms, resource.monitor_timeout_ms


def test_timeouts_are_what_the_agent_advises_where_that_is_longer(toy: ToyOcf) -> None:
    """It advises 40 s, 20 s, 7 s; ours are 30 s, 30 s, 5 s."""
    loaded = check(toy).loaded
    assert loaded is not None and times(loaded.spec) == (40_000, 30_000, 7_000)
    assert times(load_cluster(toy.dir.parent / "cluster.yaml")) == (40_000, 30_000, 7_000)


def test_timeouts_that_are_given_stay(toy: ToyOcf) -> None:
    loaded = check(toy, more="        start_timeout: 5s\n        monitor_timeout: 1s\n").loaded
    assert loaded is not None and times(loaded.spec) == (5_000, 30_000, 1_000)


def test_an_agent_that_is_not_here_advises_nothing(toy: ToyOcf) -> None:
    loaded = check(toy, agent="tets:toy", node="n3").loaded
    assert loaded is not None and times(loaded.spec) == (30_000, 30_000, 5_000)


PROMOTED = """\
  - name: all
    run: all
    resources:
      - {name: it, ocf: {agent: "test:toy", parameters: {dir: /x}}}
  - name: primary
    fencing: required
    resources:
      - {name: role, promote: {of: all/it}MORE}
"""


def test_an_agent_that_cannot_promote_is_refused_where_it_is_to_be_promoted(toy: ToyOcf) -> None:
    toy.edit('<action name="stop"', '<action name="demote"/><action name="stop"')
    report = check(toy, more=PROMOTED.replace("MORE", ""))
    assert not report.ok
    (line,) = [line for line in report.lines if ".promote" in line]
    assert "groups[2].resources[0].promote.of: test:toy has no action `promote`; its instances cannot" in line


def test_the_timeouts_of_a_promotion_are_what_the_agent_advises(toy: ToyOcf) -> None:
    """`promote` and `demote` for start and stop; and the definition of the instance has what is advised for that."""
    advice = '<action name="promote" timeout="70s"/><action name="demote" timeout="80s"/><action name="stop"'
    toy.edit('<action name="stop"', advice)
    loaded = check(toy, more=PROMOTED.replace("MORE", "")).loaded
    assert loaded is not None
    (role,), (instance,) = loaded.spec.groups[2].resources, loaded.spec.groups[1].resources
    assert isinstance(role, PromoteSpec) and role.options.instance == instance
    assert (role.start_timeout_ms, role.stop_timeout_ms, role.monitor_timeout_ms) == (70_000, 80_000, 7_000)
    assert (instance.start_timeout_ms, instance.stop_timeout_ms) == (40_000, 30_000)
    loaded = check(toy, more=PROMOTED.replace("MORE", ", stop_timeout: 5s")).loaded
    assert loaded is not None and loaded.spec.groups[2].resources[0].stop_timeout_ms == 5_000
