"""podmaster's scheduler and controller manager with hactl, and a stand-in for the kubelet on each node: by a move and a
power cut, each pod runs on one node, never on two, though a kubelet takes its time to stop one."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hactl.lab import disk, spawn
from hactl.lab.system import LabError
from hactl.resources.pods.seen import processes
from tests.lab.cluster.whole import Cluster
from tests.support.promises import promised

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

KUBELET = Path(__file__).parents[2] / "support/kubelet.py"
PODS = {"scheduler": "kube-scheduler", "controller": "kube-controller-manager"}
# The stand-in needs so long to stop a pod.
STOP_S = 1.0
TIMING = {"lease": "6s", "stop_budget": "2s", "self_fence_lead": "500ms"}


class Kubelets:
    """One on each node. `twice`: what was seen of a pod on two nodes."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, spec = cluster, cluster.lab.spec
        self.sources, self.place = spec.path / "sources", f"{Path(disk.device(spec.name)).parent}/manifests"
        self.sources.mkdir(exist_ok=True)
        self.started: list[subprocess.Popen[bytes]] = []
        self.twice: set[str] = set()
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        for pod in PODS.values():
            text = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {pod}, namespace: kube-system}}\nspec: {{}}\n"
            (self.sources / f"{pod}.yaml").write_text(text)
        self.program = spec.path / f"pod-{spec.name}"
        shutil.copy("/bin/sleep", self.program)
        for name in cluster.nodes:
            self.begin(name)
        self._watch.start()

    def begin(self, name: str) -> None:
        node = self.cluster.node(name)
        holder = disk.holder(node.group.child("mounts"))
        Path(f"/proc/{holder}/root{self.place}").mkdir(mode=0o755, exist_ok=True)
        argv = [sys.executable, str(KUBELET), self.place, "10255", "0.2", str(STOP_S), str(self.program)]
        started = spawn.attached(node.namespace, node.group.child("kubelet"), argv, holder)
        self.started.append(subprocess.Popen(started, cwd="/"))

    def on(self, name: str) -> list[str]:
        """The pods that run on a node."""
        group = self.cluster.node(name).group.child("kubelet")
        inside = set(group.pids()) if group.exists() else set()
        found = []
        for pid in set(processes(self.program.name)) & inside:
            try:
                found.append(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode())
            except OSError:
                continue
        return found

    def groups(self) -> list[dict[str, Any]]:
        """As docs/migration-podmaster.md has them. By the kubelet: the nodes of a lab see each other's processes."""
        look = {"kubelet": "http://127.0.0.1:10255/pods"}
        manifests = {
            group: {"source": str(self.sources / f"{pod}.yaml"), "directory": self.place, "gone": look, "running": look}
            for group, pod in PODS.items()
        }
        return [
            {"name": group, "fencing": "required", "resources": [{"name": "pod", "manifest": manifest}]}
            for group, manifest in manifests.items()
        ]

    def release(self) -> None:
        """Every kubelet is there, also that of a node that was off; the groups run nowhere."""
        cluster = self.cluster
        for node in cluster.nodes.values():
            if not node.powered:
                with contextlib.suppress(LabError):  # its fencing was the first to switch it on again
                    cluster.lab.start(node.name)
        for name, node in cluster.nodes.items():
            if not node.group.child("kubelet").pids():
                cluster.until(lambda node=node: disk.holder(node.group.child("mounts")), f"{name} is there")  # type: ignore[misc]
                self.begin(name)
        cluster.apply(cluster.with_groups(*({**group, "enabled": False} for group in self.groups())))
        for group in PODS:
            cluster.until(lambda group=group: cluster.group(group).state == "released", f"{group} is released")  # type: ignore[misc]

    def end(self) -> None:
        self._over.set()
        self._watch.join()
        for process in self.started:
            process.kill()
            process.wait()

    def _look(self) -> None:
        while not self._over.wait(0.01):
            there = {name: self.on(name) for name in self.cluster.nodes}
            for pod in PODS.values():
                holders = [name for name, pods in there.items() if pod in pods]
                if len(holders) > 1:
                    self.twice.add(f"{pod} on {', '.join(holders)}")


@pytest.fixture
def kubelets(cluster: Cluster) -> Iterator[Kubelets]:
    cluster.deadline_s = 60.0
    cluster.rest_on(TIMING)
    there = Kubelets(cluster)
    try:
        yield there
        there.release()
    finally:
        there.end()


def test_its_pods_move_and_survive_a_power_cut_and_never_run_twice(cluster: Cluster, kubelets: Kubelets) -> None:
    cluster.apply(cluster.with_groups(*kubelets.groups()))
    for group, pod in PODS.items():
        owner = cluster.await_running(group)
        assert kubelets.on(owner) and pod in kubelets.on(owner), (
            "running is when the pod runs, not when the file is there"
        )
    owner = cluster.owner("scheduler")
    target = cluster.others(owner)[0]
    begun = time.monotonic()
    assert cluster.move("scheduler", target)[0] == 200
    cluster.await_running("scheduler", [target])
    assert time.monotonic() - begun >= STOP_S, "not before the pod has gone"
    assert "kube-scheduler" in kubelets.on(target) and "kube-scheduler" not in kubelets.on(owner)
    epoch = cluster.group("scheduler").epoch
    cluster.lab.kill(target)
    after = cluster.await_running("scheduler", cluster.others(target), epoch_above=epoch)
    assert "kube-scheduler" in kubelets.on(after)
    promised(not kubelets.twice, ", ".join(kubelets.twice))
