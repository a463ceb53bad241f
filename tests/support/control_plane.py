"""The examples of whole control planes, made to fit the lab, and asked as their clients would."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from hactl.model.cluster import ClusterSpec
from hactl.model.service import ServiceSpec
from tests.support.redfish import make_certificate

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
CERTIFICATE = "/etc/hactl/tls/cloud.pem"

# The examples' networks: workers are played by the nodes, and inside and outside are one network.
_ADDRESSES = {
    "10.0.0.2": "10.77.0.1",
    "10.0.0.": "10.77.0.",
    "203.0.113.": "10.77.0.1",
    "2001:db8::": "fd77::1",
    "eth1": "eth0",
}
# Started in place of a unit, a pod, OVN: the lab has none of them.
_RUNS = {"exec": {"command": ["/bin/sleep", "infinity"]}}
# The protocol of a service, where it is not HTTP.
_SPEAKS = {"mariadb": "line", "ovn-nb": "line", "ovn-sb": "line", "redis": "redis", "kube-apiserver": "https"}

# The answers that name no node: etcd's, and a redirection.
ETCD, ELSEWHERE = "etcd", "elsewhere"


def write_certificate(file: Path) -> None:
    """Certificate and key in one file, as HAProxy wants them."""
    key = file.with_suffix(".key")
    make_certificate(file, key)
    file.write_text(file.read_text() + key.read_text())


def in_the_lab(example: str, lab: dict[str, Any], certificate: Path) -> dict[str, Any]:
    """An example with the addresses, the timing and the fence devices of the lab whose cluster.yaml is `lab`."""
    text = (EXAMPLES / f"{example}.yaml").read_text().replace(CERTIFICATE, str(certificate))
    for theirs, ours in _ADDRESSES.items():
        text = text.replace(theirs, ours)
    document: dict[str, Any] = YAML(typ="safe").load(text)
    for group in document["groups"]:
        for resource in group.get("resources", []):
            if "exec" in resource:
                resource.update(_RUNS)
    return {
        **document,
        **{key: lab[key] for key in ("cluster", "timing", "nodes", "fencing")},
        "groups": [_playable(group) for group in document["groups"]],
        # A machine for tests may allow fewer open files than a controller does.
        "haproxy": {**document["haproxy"], "maxconn": 2000, **lab["haproxy"]},
    }


def _playable(group: dict[str, Any]) -> dict[str, Any]:
    """The group, with commands that exist in place of its preset's resources."""
    over: dict[str, list[dict[str, Any]]] = {
        "galera-writer": [{"name": "in-sync", "exec": {"ready": ["/bin/true"], "monitor": ["/bin/true"]}}],
        "cinder-volume": [{"name": "cinder-volume", "systemd": None, **_RUNS}],
        "cinder-backup": [{"name": "cinder-backup", "systemd": None, **_RUNS}],
        "ceilometer-central": [{"name": "central", "systemd": None, **_RUNS}],
        "kube-scheduler": [{"name": "pod", "manifest": None, **_RUNS}],
        "kube-controller-manager": [{"name": "pod", "manifest": None, **_RUNS}],
    }
    more = over.get(group.get("preset", ""), [])
    return {**group, "resources": [*group.get("resources", []), *more]} if more else group


def ports(spec: ClusterSpec) -> dict[int, str]:
    """The ports to be played on each node, with the protocol of each. The lab has an etcd of its own."""
    protocols: dict[int, str] = {}
    for service in spec.services:
        if service.name == ETCD:
            continue
        protocols[service.port] = _SPEAKS.get(service.name, "http")
        if (other := service.options.check.port) is not None:
            protocols[other] = "http"
    return protocols


@dataclass(frozen=True, slots=True)
class Door:
    """Where a service is reached. `speaks`: as the stand-ins do."""

    service: str
    address: str
    port: int
    speaks: str
    tls: bool

    def ask(self) -> str:
        """The node that answers, ETCD or ELSEWHERE; "" when none does."""
        try:
            if self.speaks in ("line", "redis"):
                return self._word()
            status, _, body = self.get("/health")
            if status == 302:
                return ELSEWHERE
            if status != 200:
                return ""
            return ETCD if self.service == ETCD else str(json.loads(body)["node"])
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            return ""

    def get(self, path: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of `path`, by TLS where the door has it; nothing is verified."""
        if self.tls or self.speaks == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            request: http.client.HTTPConnection = http.client.HTTPSConnection(
                self.address, self.port, timeout=2.0, context=context
            )
        else:
            request = http.client.HTTPConnection(self.address, self.port, timeout=2.0)
        try:
            request.request("GET", path)
            response = request.getresponse()
            return response.status, response.headers, response.read()
        finally:
            request.close()

    def _word(self) -> str:
        with socket.create_connection((self.address, self.port), timeout=2.0) as connection:
            if self.speaks == "redis":
                connection.sendall(b"WHO\r\n")
            return connection.recv(64).decode().strip().removeprefix("+")


def doors(spec: ClusterSpec) -> list[Door]:
    """Where the services of a cluster are reached."""
    return [door for service in spec.services for door in _doors(service)]


def _doors(service: ServiceSpec) -> list[Door]:
    listed = []
    for bind in service.accepts:
        address, _, port = bind.address.rpartition(":")
        speaks = _SPEAKS.get(service.name, "http")
        listed.append(Door(service.name, address.strip("[]"), int(port), speaks, bind.tls is not None))
    return listed
