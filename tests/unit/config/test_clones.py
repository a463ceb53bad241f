"""Groups with `run: all` in cluster.yaml: what is refused, with place and hint, and what they may not turn into."""

from __future__ import annotations

import pytest

from hactl.config.diff import refusals
from hactl.config.document import document, parse_document
from hactl.config.load import parse_cluster
from tests.support.cluster_text import edited, problems

GOOD = """\
cluster: demo
nodes:
  - {name: n1, address: 10.0.0.11}
  - {name: n2, address: 10.0.0.12}
  - {name: n3, address: 10.0.0.13}
groups:
  - name: broker
    run: all
    nodes: [n1, n2]
    resources:
      - {name: rabbitmq, systemd: {unit: rabbitmq-server.service}}
  - name: entry
    together_with: [broker]
    after: [broker]
    resources:
      - {name: address, vip: {address: 10.0.0.30/24}}
"""


def lines(text: str) -> list[str]:
    """All that is wrong."""
    return [str(problem) for problem in problems(text)]


IN_A_CLONE = "      - {name: rabbitmq, systemd: {unit: rabbitmq-server.service}}\n"


def test_it_is_read_and_kept_in_the_stored_document() -> None:
    cluster = parse_cluster(GOOD)
    assert [group.name for group in cluster.clones] == ["broker"]
    assert [group.name for group in cluster.exclusive] == ["entry"]
    assert cluster.exclusive_group("broker") is None and cluster.exclusive_group("entry") is not None
    assert parse_document(document(cluster)) == cluster


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("fencing: required", "nobody takes it over from a dead node"),
        ("overlap: true", "it does not move"),
        ("on_stop_failure: self-fence", "no other node waits for it to stop"),
        ("probes: [{tcp: {port: 80, host: 10.0.0.30}}]", "it has no address of its own"),
        ("failback: immediately", "it does not move"),
        ("weights: {n1: 5}", "it runs on each of its nodes"),
        ("needs: {memory: 0}", "it runs on each of its nodes, whatever room there is"),
        ("priority: 3", "it runs on each of its nodes"),
        ("spread: s", "it runs on each of its nodes"),
        ("together_with: [entry]", "it runs on each of its nodes"),
    ],
)
def test_what_means_something_on_one_node_alone_is_refused(setting: str, why: str) -> None:
    key = setting.partition(":")[0]
    text = edited(GOOD, ("    run: all\n", f"    run: all\n    {setting}\n"))
    if key == "together_with":
        text = edited(text, ("    together_with: [broker]\n    after: [broker]\n", ""))
    assert any(
        f"groups[0].{key}: group `broker` has `run: all`, and with it `{key}` means nothing: {why}" in line
        for line in lines(text)
    ), lines(text)


@pytest.mark.parametrize(
    ("resource", "place", "why"),
    [
        ("vip: {address: 10.0.0.31/24}", "vip", "an address on two nodes answers from either"),
        ("mount: {device: /dev/sdb1, directory: /srv}", "mount", "would mount `/dev/sdb1` on several nodes"),
    ],
)
def test_what_may_not_be_on_two_nodes_is_refused(resource: str, place: str, why: str) -> None:
    text = edited(GOOD, (IN_A_CLONE, IN_A_CLONE + f"      - {{name: other, {resource}}}\n"))
    assert any(f"groups[0].resources[1].{place}: " in line and why in line for line in lines(text)), lines(text)


def test_what_is_mounted_from_another_machine_may_be() -> None:
    files = '      - {name: files, mount: {device: "server:/export", directory: /srv}}\n'
    assert parse_cluster(edited(GOOD, (IN_A_CLONE, IN_A_CLONE + files))).clones


def test_nothing_is_apart_from_what_is_everywhere() -> None:
    text = edited(GOOD, ("    together_with: [broker]\n", "    apart_from: [broker]\n"))
    assert any("groups[1].apart_from[0]: group `broker` has `run: all`" in line for line in lines(text))


def test_a_group_that_has_no_node_with_an_instance() -> None:
    text = edited(GOOD, ("    together_with: [broker]\n", "    together_with: [broker]\n    nodes: [n3]\n"))
    assert any(
        "there is no node for group `entry`" in line
        and "n3: broker, with which it runs, is not to run there: not in the group's nodes" in line
        for line in lines(text)
    ), lines(text)


def test_an_instance_of_a_disabled_group_is_nowhere() -> None:
    text = edited(GOOD, ("    run: all\n", "    run: all\n    enabled: false\n"))
    assert any("broker, with which it runs, is not to run there: disabled" in line for line in lines(text))


def test_it_does_not_become_exclusive_while_it_runs() -> None:
    old, new = parse_cluster(GOOD), parse_cluster(edited(GOOD, ("    run: all\n", "")))
    assert [text for text in refusals(old, new, {}) if "it goes from `run: all` to `one`" in text]
    back = refusals(new, old, {"broker": "owned"})
    assert back and "it goes from `run: one` to `all`" in back[0]
    assert refusals(new, old, {"broker": "released"}) == []


def test_nor_does_what_it_runs() -> None:
    """A unit that would go from every node to one."""
    moved = edited(GOOD, (IN_A_CLONE, "      - {name: other, systemd: {unit: other.service}}\n"))
    moved = edited(
        moved, ("    resources:\n      - {name: address", "    resources:\n" + IN_A_CLONE + "      - {name: address")
    )
    (text,) = refusals(parse_cluster(GOOD), parse_cluster(moved), {"entry": "owned"})
    assert "its systemd `rabbitmq-server.service` moves to group `entry`, which runs on one node at a time" in text


def test_another_clone_may_have_it_and_it_may_be_taken_out() -> None:
    other = parse_cluster(GOOD.replace("broker", "queue"))
    assert refusals(parse_cluster(GOOD), other, {}) == []
