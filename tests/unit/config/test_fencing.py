"""The fencing parts of cluster.yaml: what is read, what is refused, and what the agents themselves say."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from fencing.topology import Device, Level, NodeFencing, SecretFile, Target
from hactl.admin.config import check_file
from hactl.config import compiled
from hactl.config.diff import diff
from hactl.config.document import document, parse_document
from hactl.config.load import check_text, parse_cluster
from tests.support.cluster_text import edited, problems
from tests.support.toy_agent import ToyAgent

GOOD = """\
cluster: demo
nodes:
  - name: n1
    address: 10.0.0.11
    fencing:
      action: off
      delay: 2s
      random_delay: 1s
      levels:
        - devices: [ipmi-n1]
        - devices: [{device: pdu-a, plug: "3"}, {device: pdu-b, plug: "3"}]
        - watchdog: true
  - name: n2
    address: 10.0.0.12
    fencing:
      levels:
        - devices: [{device: pdu-a, plug: "4"}, {device: pdu-b, plug: "4"}]
fencing:
  test_interval: 5m
  devices:
    - name: ipmi-n1
      agent: fence_ipmilan
      options: {ip: 10.0.1.11, username: hactl, password: {file: /etc/hactl/secrets/ipmi-n1}, lanplus: true, port: 9}
      timeout: 20s
      status_timeout: 10s
    - {name: pdu-a, agent: fence_apc_snmp, options: {ip: 10.0.1.21}}
    - {name: pdu-b, agent: /opt/site/fence_pdu, options: {ip: 10.0.1.22}, unfence: true}
groups:
  - name: db
    fencing: required
    resources: [{name: db, systemd: {unit: mariadb.service}}]
"""

changed = partial(edited, GOOD)


def place_of(at: str, text: str) -> str:
    """Line and column of where `at` is in the text, of the last one if it begins with <last>."""
    before = text[: text.rindex(at.removeprefix("<last>"))]
    assert at.startswith("<last>") or text.count(at) == 1, at
    return f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def test_good() -> None:
    loaded = check_text(GOOD, "cluster.yaml")
    assert loaded.warnings == ()
    topology = loaded.spec.fencing
    assert topology.test_interval_ms == 300_000
    secret = SecretFile("/etc/hactl/secrets/ipmi-n1")
    options: dict[str, str | SecretFile] = {
        "ip": "10.0.1.11",
        "username": "hactl",
        "password": secret,
        "lanplus": "1",
        "port": "9",
    }
    assert topology.devices["ipmi-n1"] == Device("ipmi-n1", "fence_ipmilan", options, 20_000, 10_000)
    assert [device.unfence for device in topology.devices.values()] == [False, False, True]
    assert (topology.devices["pdu-a"].timeout_ms, topology.devices["pdu-a"].status_timeout_ms) == (60_000, 20_000)
    levels = (
        Level((Target("ipmi-n1"),)),
        Level((Target("pdu-a", "3"), Target("pdu-b", "3"))),
        Level(watchdog=True),
    )
    assert topology.of("n1") == NodeFencing(levels, "off", 2000, 1000)
    assert topology.of("n2").action == "reboot"
    assert topology.of("n3") == NodeFencing()


def test_it_is_the_same_after_it_was_stored_and_compiled() -> None:
    spec = parse_cluster(GOOD)
    assert parse_document(document(spec)).fencing == spec.fencing
    assert compiled.load(json.loads(json.dumps(compiled.dump(spec)))).fencing == spec.fencing


def test_a_cluster_without_devices() -> None:
    text = "cluster: demo\nnodes: [{name: n1, address: 10.0.0.11}]\n"
    assert parse_document(document(parse_cluster(text))) == parse_cluster(text)
    assert "there is no fence device" not in str(check_text(text, "f").warnings)


N2_LEVELS = GOOD[GOOD.rindex("      levels:") : GOOD.index("fencing:\n  test")]

NODE1 = "nodes[0].fencing.levels"

CASES = {
    "unknown device": (
        ("devices: [ipmi-n1]", "devices: [imp-n1]"),
        "imp-n1",
        f"{NODE1}[0].devices[0]",
        "`imp-n1` is no device of this cluster; did you mean `ipmi-n1`?",
    ),
    "unknown key of a target": (
        ('{device: pdu-a, plug: "3"}', '{device: pdu-a, plag: "3"}'),
        "plag",
        f"{NODE1}[1].devices[0].plag",
        "unknown key; did you mean `plug`?",
    ),
    "a plug that is a number": (
        ('{device: pdu-a, plug: "3"}', "{device: pdu-a, plug: 3}"),
        "3}, {device: pdu-b",
        f"{NODE1}[1].devices[0].plug",
        'put it in quotes, "3"',
    ),
    "the same level again": (
        ("        - watchdog: true", "        - watchdog: true\n        - watchdog: true"),
        "<last>watchdog: true",
        f"{NODE1}[3]",
        f"is the same level as {NODE1}[2]",
    ),
    "a target twice in a level": (
        ("devices: [ipmi-n1]", "devices: [ipmi-n1, ipmi-n1]"),
        "<last>ipmi-n1]\n",
        f"{NODE1}[0].devices[1]",
        "device `ipmi-n1` is in this level twice",
    ),
    "a level of neither": (
        ("        - watchdog: true", "        - watchdog: false"),
        "watchdog: false",
        f"{NODE1}[2]",
        "has neither of `devices` and `watchdog: true`; give one of them",
    ),
    "no levels": (
        (N2_LEVELS, "      action: off\n"),
        "action: off\nfencing",
        "nodes[1].fencing.levels",
        "is missing; such as `levels: [{devices: [ipmi-n1]}]`",
    ),
    "another action": (("action: off", "action: cycle"), "cycle", "nodes[0].fencing.action", "allowed: off, reboot"),
    "a device that switches two nodes": (
        ('devices: [{device: pdu-a, plug: "4"}, {device: pdu-b, plug: "4"}]', "devices: [ipmi-n1]"),
        "<last>ipmi-n1]\n",
        "nodes[1].fencing.levels[0].devices[0]",
        f"device `ipmi-n1` switches another node already: {NODE1}[0].devices[0]; give each node its own `plug`",
    ),
    "a plug that switches two nodes": (
        ('{device: pdu-b, plug: "4"}', '{device: pdu-b, plug: "3"}'),
        "<last>{device: pdu-b",
        "nodes[1].fencing.levels[0].devices[1]",
        f"plug `3` of device `pdu-b` switches another node already: {NODE1}[1].devices[1]; give the right plug",
    ),
    "no plug of a device with plugs": (
        ('{device: pdu-b, plug: "4"}', "pdu-b"),
        "pdu-b]",
        "nodes[1].fencing.levels[0].devices[1]",
        "device `pdu-b` has plugs elsewhere",
    ),
    "two devices of one name": (
        ("name: pdu-b, agent", "name: pdu-a, agent"),
        "<last>pdu-a",
        "fencing.devices[2].name",
        "a device named `pdu-a` is there already",
    ),
    "a lease too short for a watchdog": (
        ("cluster: demo\n", "cluster: demo\ntiming: {lease: 5s, stop_budget: 5s}\n"),
        "5s, stop",
        "timing.lease",
        "leaves a watchdog 4 x 1.02s, but stop_budget is 5s; raise lease to",
    ),
    "a device that was copied": (
        ("agent: /opt/site/fence_pdu, options: {ip: 10.0.1.22}", "agent: fence_apc_snmp, options: {ip: 10.0.1.21}"),
        "<last>{name: pdu-b",
        "fencing.devices[2]",
        "device `pdu-b` is the same as `pdu-a`: fencing.devices[1]",
    ),
    "no agent's name": (
        ("agent: fence_ipmilan", "agent: ipmilan"),
        "ipmilan\n",
        "fencing.devices[0].agent",
        "write `fence_ipmilan`, or an absolute path",
    ),
    "an action": (
        ("lanplus: true", "action: reboot"),
        "reboot",
        "fencing.devices[0].options.action",
        "option `action` is given by hactl itself; leave it out",
    ),
    "an option that does nothing": (
        ("lanplus: true", "help: true"),
        "true, port: 9",
        "fencing.devices[0].options.help",
        "makes the agent answer and do nothing",
    ),
    "a plug where levels give it": (
        ("options: {ip: 10.0.1.21}", 'options: {ip: 10.0.1.21, port: "7"}'),
        '"7"',
        "fencing.devices[1].options.port",
        "option `port` is given by the levels, too",
    ),
    "a cycle": (
        ("lanplus: true", "method: cycle"),
        "cycle",
        "fencing.devices[0].options.method",
        "`method: cycle` cannot be verified",
    ),
    "an option of Pacemaker's": (
        ("lanplus: true", "pcmk_host_list: n1"),
        "n1, port: 9",
        "fencing.devices[0].options.pcmk_host_list",
        "is an option of Pacemaker's",
    ),
    "a secret's file by a relative path": (
        ("{file: /etc/hactl/secrets/ipmi-n1}", "{file: ipmi-n1}"),
        "{file: ipmi-n1}",
        "fencing.devices[0].options.password",
        "`ipmi-n1` is no absolute path",
    ),
    "a number with a fraction": (
        ("ip: 10.0.1.22", "ip: 10.20"),
        "10.20",
        "fencing.devices[2].options.ip",
        'is 10.2, a number with a fraction; put it in quotes, so that it stays as it is: "10.2"',
    ),
    "several lines": (
        ("ip: 10.0.1.22", 'ip: "a\\naction=on"'),
        '"a\\naction',
        "fencing.devices[2].options.ip",
        "its value has more than one line",
    ),
    "a list": (("ip: 10.0.1.22", "ip: [a]"), "[a]", "fencing.devices[2].options.ip", "is neither a text"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "at", "path", "says"), CASES.values(), ids=list(CASES))
def test_refused(change: tuple[str, str], at: str, path: str, says: str) -> None:
    refused = problems(changed(change))
    assert path in [problem.path for problem in refused], "\n".join(map(str, refused))
    said = next(str(problem) for problem in refused if problem.path == path)
    assert said.startswith(f"cluster.yaml:{place_of(at, changed(change))}: {path}: ")
    assert says in said


def test_a_secret_in_the_clear_is_refused_and_not_shown() -> None:
    (problem,) = problems(changed(("{file: /etc/hactl/secrets/ipmi-n1}", "sesame")))
    assert problem.path == "fencing.devices[0].options.password"
    assert "would lie in etcd for all to read; write `password: {file: /etc/hactl/secrets/ipmi-n1}`" in str(problem)
    assert "sesame" not in str(problem)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("devices: [ipmi-n1]\n        - ", ""), "fencing.devices[0]: device `ipmi-n1` is used by no node"),
        (
            ("groups:", "  - {name: n3, address: 10.0.0.13}\ngroups:"),
            "nothing can switch off n3: when such a node dies",
        ),
    ],
    ids=["unused", "unfenced"],
)
def test_warnings(change: tuple[str, str], says: str) -> None:
    text = changed(change)
    if "n3" in says:
        text = changed(("fencing:\n  test_interval", "  - {name: n3, address: 10.0.0.13}\nfencing:\n  test_interval"))
    (warning,) = check_text(text, "f").warnings
    assert says in str(warning)


def test_a_difference_is_shown_without_secrets() -> None:
    old = parse_cluster(GOOD)
    new = parse_cluster(
        changed(
            ("devices: [ipmi-n1]\n        - ", ""),
            ("secrets/ipmi-n1", "secrets/other"),
            ("timeout: 20s\n", "timeout: 25s\n"),
            (
                "    - {name: pdu-b,",
                "    - {name: pdu-c, agent: fence_apc, options: {ip: 10.0.1.23}}\n    - {name: pdu-b,",
            ),
        )
    )
    assert [str(change) for change in diff(old, new)] == [
        "~ fencing.devices.ipmi-n1.options.password: file /etc/hactl/secrets/ipmi-n1 -> file /etc/hactl/secrets/other",
        "~ fencing.devices.ipmi-n1.timeout_ms: 20s -> 25s",
        "+ fencing.devices.pdu-c",
        "~ fencing.nodes.n1.levels: [ipmi-n1, pdu-a 3 + pdu-b 3, watchdog] -> [pdu-a 3 + pdu-b 3, watchdog]",
    ]


@pytest.fixture
def toy(tmp_path: Path) -> ToyAgent:
    return ToyAgent(tmp_path)


def check(
    toy: ToyAgent, options: str, level: str = "{device: switch, plug: a}", node: str = "", more: str = ""
) -> tuple[bool, str]:
    """Whether a device with these options passes, and what is said of it."""
    path = toy.place / "cluster.yaml"
    path.write_text(
        "cluster: demo\n"
        f"fencing: {{devices: [{{name: switch, agent: {toy.path}, options: {{{options}}}{more}}}]}}\n"
        f"nodes: [{{name: n1, address: 10.0.0.11, fencing: {{levels: [{{devices: [{level}]}}]}}}}]\n"
    )
    report = check_file(path, node=node)
    return report.ok, "\n".join(report.lines)


def test_an_agent_that_is_not_here_is_named(toy: ToyAgent) -> None:
    toy.path.unlink()
    ok, said = check(toy, "whatever: 1")
    assert ok and f"fencing.devices[0].agent: {toy.path} is not installed here" in said


@pytest.mark.parametrize("way", ["file", "directory", "link"])
def test_an_agent_that_others_may_change_is_not_run(toy: ToyAgent, way: str) -> None:
    ran = toy.place / "ran"
    toy.path.write_text(f"#!/bin/sh\ntouch {ran}\n")
    if way == "file":
        toy.path.chmod(0o757)
    elif way == "directory":
        toy.place.chmod(0o777)
    else:
        (toy.place / "open").mkdir()
        (toy.place / "open").chmod(0o777)
        (toy.place / "open" / "fence_toy").symlink_to(toy.path)
        toy.place, toy.path = toy.place / "open", toy.place / "open" / "fence_toy"
    ok, said = check(toy, "dir: /tmp")
    assert not ok and "fencing.devices[0].agent: " in said
    assert "is not run: others may change what it does: " in said and "; `chmod go-w " in said
    assert not ran.exists()


def test_nothing_but_a_file_makes_agents_run(toy: ToyAgent) -> None:
    """The daemon reads the same document, and has no time for agents."""
    toy.path.write_text(f"#!/bin/sh\ntouch {toy.place}/ran\n")
    text = GOOD.replace("/opt/site/fence_pdu", str(toy.path))
    parse_document(document(parse_cluster(text)))
    assert not (toy.place / "ran").exists()
