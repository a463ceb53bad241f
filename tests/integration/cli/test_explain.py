"""`hactl explain` and `hactl simulate`, by the daemon's socket and by etcd itself."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.cli.conftest import Run
from tests.support.scene import CLUSTER, KEYS, Scene
from tests.support.waiting import until


def test_explain(hactl: Run, scene: Scene, either: str) -> None:
    scene.put(KEYS.standby("n3"), "anna")
    until(lambda: "n3: may not" in hactl("explain", "vip")[1], "the standby is seen")
    status, out, err = hactl("explain", "vip")
    assert status == 0 and out.startswith("vip: running on n1\n"), err
    assert "\nn3: may not\n  in standby.\n  to change that: `hactl node online n3`\n" in out
    assert ("asking etcd" in err) == (either == "etcd")
    document = json.loads(hactl("explain", "vip", "--json")[1])
    assert (document["owner"], document["target"], [node["verdict"] for node in document["nodes"]]) == (
        "n1", "n1", ["owner", "may", "no"],
    )  # fmt: skip
    status, _, err = hactl("explain", "nope")
    assert status == 2 and "no group `nope`" in err


def test_simulate(hactl: Run, scene: Scene, either: str) -> None:
    before = scene.store.snapshot(KEYS.prefix, timeout_s=5)
    status, out, _ = hactl("simulate", "--kill", "n1")
    assert (
        status == 0 and "vip    take over  n1 -> n2  at most " in out and "nothing happens to database" in out.lower()
    )
    status, out, _ = hactl("simulate", "--kill", "n1", "--kill", "n2", "--json")
    assert status == 1
    assert [(effect["group"], effect["what"]) for effect in json.loads(out)["effects"]] == [
        ("database", "stop"), ("vip", "take over"),
    ]  # fmt: skip
    assert scene.store.snapshot(KEYS.prefix, timeout_s=5).items == before.items


def test_simulate_a_configuration(hactl: Run, scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "next.yaml"
    file.write_text(CLUSTER.replace("  - name: vip\n", "  - name: vip\n    nodes: [n3]\n"))
    status, out, _ = hactl("simulate", "--apply", file)
    assert status == 0 and "vip    move  n1 -> n3  no outage  not in the group's nodes" in out
    file.write_text(CLUSTER.replace("  - name: vip\n", "  - name: vip\n    nodes: [n9]\n"))
    status, _, err = hactl("simulate", "--apply", file)
    assert status == 2 and "`n9` is no node of this cluster" in err


def test_bad_input(hactl: Run, scene: Scene) -> None:
    assert hactl("simulate")[0] == 2
    status, _, err = hactl("simulate", "--kill", "n7", "--fail", "web")
    assert status == 2 and "no node `n7`; no group `web`" in err
