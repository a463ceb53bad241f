"""A lab's parts: names, addresses, places. Written to lab.json so that later commands find them."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hactl.lab.system import LabError, run
from hactl.linux.atomic_write import write_atomically

CLIENT = "client"
SWITCH, BMC, SWITCH_PORT = "switch", "bmc", 7700
VIP, VIP6, SERVICE_VIP = "10.77.0.30", "fd77::30", "10.77.0.31"
VIP_PORTS = {"api-one": 8080, "api-two": 8081}
BACKEND_PORTS = {"api-one": 8001, "api-two": 8002}
SERVICE_PORT = 9000
NODE_CGROUPS = ("etcd", "supervisor", "daemon", "guard", "haproxy", "resources", "backend", "http-supervisor", "http")


@dataclass(frozen=True, slots=True)
class Profile:
    """etcd's timings beside the profile of the same name of hactl's."""

    heartbeat_ms: int
    election_ms: int


PROFILES = {"default": Profile(100, 1000), "fast": Profile(50, 300)}
PYTHON = (sys.executable, "-I", "-m", "hactl.cli.main")


@dataclass(frozen=True, slots=True)
class NodeName:
    """A station of the lab: the nodes, and the client."""

    name: str
    number: int

    @property
    def address(self) -> str:
        """IPv4, without the prefix length (24)."""
        return f"10.77.0.{10 + self.number}"

    @property
    def address6(self) -> str:
        """IPv6, without the prefix length (64)."""
        return f"fd77::{10 + self.number}"

    @property
    def mac(self) -> str:
        """The same after every power cut, as with real hardware."""
        return f"02:77:00:00:00:{10 + self.number:02x}"

    @property
    def port(self) -> str:
        """Its link's end in the bridge's namespace."""
        return f"p-{self.name}"


@dataclass(frozen=True, slots=True)
class LabSpec:
    """Everything about a lab that does not change while it is up.

    `daemon`, `http` and `init` are command lines in which {node_toml}, {cluster_yaml} and {node} are replaced; no
    daemon is started when `daemon` is empty, nor then the server of its metrics. `init` runs once, in the first node,
    when etcd answers. `fencing`: there is a power switch, by which the cluster fences its nodes, and its groups require
    that. `supplies`: how many power supplies a node has, each on a switch of its own. `disk_megabytes`: the size of a
    disk that all nodes see; 0: there is none.
    """

    name: str = "lab"
    nodes: int = 3
    profile: str = "default"
    fencing: bool = False
    supplies: int = 1
    disk_megabytes: int = 0
    directory: str = ""
    memory: str = ""
    cgroup: str = ""
    daemon: tuple[str, ...] = (sys.executable, "-I", "-m", "hactl.daemon", "--config", "{node_toml}")
    http: tuple[str, ...] = ("nice", "-n", "10", sys.executable, "-I", "-m", "hactl.http", "--config", "{node_toml}")
    init: tuple[tuple[str, ...], ...] = ((*PYTHON, "init", "--config", "{node_toml}", "{cluster_yaml}"),)

    def __post_init__(self) -> None:
        """Refuse a lab that cannot work, with a hint."""
        if not re.fullmatch(r"[a-z0-9]{1,20}", self.name):
            raise LabError(f"lab name {self.name!r}: one to twenty of a-z and 0-9, please")
        if not 1 <= self.nodes <= 9:
            raise LabError(f"{self.nodes} nodes: 1 to 9, please")
        if not 1 <= self.supplies <= 2:
            raise LabError(f"{self.supplies} power supplies for each node: 1 or 2, please")
        if self.profile not in PROFILES:
            raise LabError(f"profile {self.profile!r}: one of {', '.join(PROFILES)}, please")
        if len(self.directory) > 60:
            raise LabError(f"the directory's name is too long for unix sockets in it (60 at most): {self.directory}")

    @property
    def path(self) -> Path:
        """Where all files of the lab are, but etcd's data."""
        return Path(self.directory)

    @property
    def stations(self) -> tuple[NodeName, ...]:
        """The nodes: n1, n2, …"""
        return tuple(NodeName(f"n{number}", number) for number in range(1, self.nodes + 1))

    @property
    def client(self) -> NodeName:
        """The station from which the probe asks."""
        return NodeName(CLIENT, 90)

    @property
    def switch(self) -> NodeName:
        """The station of the power switch."""
        return NodeName(SWITCH, 80)

    @property
    def outlets(self) -> tuple[str, ...]:
        """The switches that a node's supplies are plugged into."""
        return (SWITCH, f"{SWITCH}-b")[: self.supplies]

    @property
    def units(self) -> dict[str, int]:
        """The remote switches, each with its port at the switch's address: outlets, and the nodes' own controllers."""
        return {unit: SWITCH_PORT + number for number, unit in enumerate((*self.outlets, BMC))}

    @property
    def traces(self) -> Path:
        """Where the active/passive service leaves its trace: no node deletes there."""
        return self.path / "traces"

    @property
    def bridge(self) -> str:
        """The namespace of the bridge."""
        return self.namespace("bridge")

    def namespace(self, station: str) -> str:
        """The network namespace of a node, of the client, of the bridge."""
        return f"{prefix(self.name)}{station}"

    def save(self) -> None:
        """Write lab.json."""
        (self.path / "lab.json").write_text(json.dumps(dataclasses.asdict(self), indent=1))


def prefix(name: str) -> str:
    """How the names of a lab's namespaces begin (no other lab's do: a name has no hyphen)."""
    return f"hl-{name}-"


def state_root() -> Path:
    """The directory in which every lab has an entry."""
    return Path("/run/hactl-lab")


def memory_directory(name: str) -> Path | None:
    """A place in memory for etcd's data, so that a slow disk does not show in the figures; None: there is none."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or run(["stat", "-f", "-c", "%T", str(shared)]).strip() != "tmpfs":
        return None
    return shared / f"hactl-lab-{name}"


def load(name: str) -> LabSpec:
    """The lab of this name, as it was brought up."""
    file = state_root() / name / "lab.json"
    try:
        values: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError as error:
        raise LabError(f"no lab {name!r} is up: hactl lab up --name {name}") from error
    values["daemon"], values["http"] = tuple(values["daemon"]), tuple(values["http"])
    values["init"] = tuple(tuple(argv) for argv in values["init"])
    return LabSpec(**values)


def check_free(spec: LabSpec) -> None:
    """Refuse if there is a lab of this name, or something in the directory."""
    entry = state_root() / spec.name
    directory = Path(spec.directory).absolute() if spec.directory else entry
    if entry.exists() or entry.is_symlink():
        raise LabError(f"there is a lab {spec.name!r} already: hactl lab down --name {spec.name}")
    if directory.exists() and any(directory.iterdir()):
        raise LabError(f"{directory} is not empty: give a new or an empty directory")


def claim(spec: LabSpec) -> LabSpec:
    """Make the lab's directories, and fill in where they are."""
    entry = state_root() / spec.name
    directory = Path(spec.directory).absolute() if spec.directory else entry
    memory = memory_directory(spec.name) or directory / "memory"
    claimed = dataclasses.replace(spec, directory=str(directory), memory=str(memory))
    state_root().mkdir(parents=True, exist_ok=True)
    directory.mkdir(parents=True, exist_ok=True)
    if directory != entry:
        entry.symlink_to(directory)
    shutil.rmtree(memory, ignore_errors=True)
    try:
        memory.mkdir(parents=True)
    except OSError as error:
        raise LabError(f"cannot make {memory}: {error.strerror}; choose another name for the lab") from error
    claimed.traces.mkdir()
    return claimed


def stage(path: Path, text: str) -> None:
    """Write a file so that nobody ever reads half of it."""
    write_atomically(path, text, mode=0o644, durable=False)
