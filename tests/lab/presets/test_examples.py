"""The examples of whole control planes run: every service answers through its addresses, and goes on to when a node is
lost."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from hactl.config.load import load_cluster
from hactl.lab import files, netns, spawn
from hactl.lab.cluster import Lab
from hactl.lab.node import Node
from hactl.lab.spec import CLIENT, PYTHON, LabSpec, state_root
from hactl.lab.system import LabError, wait_until
from tests.lab.cluster.gateway import Gateway, NoStoreError
from tests.lab.cluster.whole import running
from tests.support import stand_ins
from tests.support.control_plane import ELSEWHERE, ETCD, Door, doors, in_the_lab, ports, write_certificate

pytestmark = [pytest.mark.root, pytest.mark.lab]

DEADLINE_S = 60.0


class ControlPlane:
    """An example in a lab, its services played by stand-ins."""

    def __init__(self, example: str, place: Path) -> None:
        self._certificate, self.master, self.file = place / "cloud.pem", place / "master", place / "cluster.yaml"
        init = ((*PYTHON, "init", "--config", "{node_toml}", str(self.file)),)
        spec = LabSpec(name=f"ex{os.getpid()}{example[0]}", profile="fast", fencing=True, init=init)
        write_certificate(self._certificate)
        self.master.write_text("n1")
        self.file.write_text(json.dumps(in_the_lab(example, _own(spec), self._certificate)))
        self.spec, self.lab = load_cluster(self.file), Lab(spec)

    def begin(self) -> None:
        """Start the stand-ins of every node. The lab is up."""
        self.store = Gateway(self.lab)
        for node in self.lab.nodes.values():
            self._play(node)

    def _play(self, node: Node) -> None:
        given = {"node": node.name, "address": node.address, "ports": ports(self.spec)}
        given |= {"certificate": str(self._certificate), "master": str(self.master)}
        argv = [sys.executable, stand_ins.__file__, json.dumps(given)]
        log = node.logs / "stand-ins.log"
        spawn.detached(node.namespace, node.group.child("backend/stand-ins"), log, argv)
        wait_until(
            lambda: log.exists() and "ready" in log.read_text(),
            deadline_s=DEADLINE_S,
            goal=f"the stand-ins of {node.name}",
        )

    def owner(self, group: str) -> str:
        """The node where the group runs; "" when it does nowhere."""
        try:
            return running(self.store.view(), group) or ""
        except (NoStoreError, KeyError):
            return ""

    def await_running(self, on: set[str]) -> None:
        """Until every group runs on one of these nodes."""
        for group in self.spec.groups:
            expected = f"{group.name} runs on {' or '.join(sorted(on))}"
            wait_until(lambda g=group.name: self.owner(g) in on, deadline_s=DEADLINE_S, goal=expected)  # type: ignore[misc]

    def await_answers(self, by: set[str]) -> None:
        """Until every service answers at all of its addresses: by one of these nodes, and where there is one writer,
        by that."""
        left, said = doors(self.spec), dict[Door, str]()

        def all_answer() -> bool:
            said.update(self.ask(left))
            left[:] = [door for door in left if not self._right(door, said[door], by)]
            return not left

        try:
            wait_until(all_answer, deadline_s=DEADLINE_S, goal="every service answers", every_s=0.2)
        except LabError as error:
            told = ", ".join(
                f"{door.service} at {door.address}:{door.port} is answered by {said[door]!r}" for door in left
            )
            raise AssertionError(told) from error

    def ask(self, asked: list[Door]) -> dict[Door, str]:
        """The node that answers at each door, asked by the client."""
        namespace = self.lab.spec.namespace(CLIENT)
        with ThreadPoolExecutor(4) as pool:
            return dict(zip(asked, pool.map(lambda door: netns.inside(namespace, door.ask), asked), strict=True))

    def get(self, door: Door, path: str) -> tuple[int, str]:
        """The client's answer there: the status, and the cookie that is set."""
        status, headers, _ = netns.inside(self.lab.spec.namespace(CLIENT), lambda: door.get(path))
        return status, headers.get("Set-Cookie", "")

    def _right(self, door: Door, answered: str, by: set[str]) -> bool:
        service = next(candidate for candidate in self.spec.services if candidate.name == door.service)
        if service.options.writer:
            return answered == self.owner(service.options.group)
        if (door.service, door.port) == ("horizon", 80):
            return answered == ELSEWHERE
        if door.service == "redis":
            return answered == self.master.read_text()
        return answered in (by if door.service != ETCD else {ETCD})


def _own(spec: LabSpec) -> dict[str, Any]:
    """The cluster.yaml that the lab is going to have."""
    with tempfile.TemporaryDirectory() as place:
        draft = replace(spec, directory=place)
        files.write_cluster(draft)
        text = files.cluster_yaml(draft).read_text().replace(place, str(state_root() / spec.name))
    document: dict[str, Any] = YAML(typ="safe").load(text)
    return document


@pytest.fixture(params=["openstack", "kubernetes"])
def plane(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ControlPlane]:
    made = ControlPlane(request.param, tmp_path)
    with made.lab:
        made.begin()
        yield made


def test_every_service_answers_and_goes_on_to(plane: ControlPlane) -> None:
    """Before a node is lost, and after: the one that has most to do."""
    nodes = set(plane.lab.nodes)
    plane.await_running(nodes)
    plane.await_answers(nodes)

    for door in doors(plane.spec):
        if door.service == "ironic-public":
            assert plane.get(door, "/v1/lookup?addresses=x") == (403, "")
            assert plane.get(door, "/v1/nodes") == (200, "")
        elif door.service == "horizon" and door.tls:
            assert plane.get(door, "/")[1].startswith("SERVERID=n")

    lost = plane.owner("internal")
    left = nodes - {lost}
    plane.lab.kill(lost)
    plane.master.write_text(min(left))  # as Sentinel does
    plane.await_running(left)
    plane.await_answers(left)
