"""Partitions: frames that the bridge drops, by the ports they come in and go out by.

The kernel's own rule set is the record of the cuts: each rule's comment names its cut.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from hactl.lab.spec import LabSpec, NodeName
from hactl.lab.system import LabError, run

_TABLE = "hactl_lab"
_ETCD_PORTS = "{ 2379, 2380 }"
Direction = Literal["both", "out", "in"]


@dataclass(frozen=True, slots=True)
class Cut:
    """Frames from one station to another that are dropped; `etcd_only`: those from and to etcd's ports."""

    source: str
    target: str
    etcd_only: bool = False

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}{' etcd' if self.etcd_only else ''}"


def plan(spec: LabSpec, node: str, other: str, direction: Direction = "both") -> list[Cut]:
    """The cuts between `node` and `other`: a node, `client`, `peers` (the other nodes), `all` (those and the client),
    `etcd` (the other nodes' etcd members, while all other traffic goes through), or `switch` (the power switch, from
    which nothing else parts). `out`: only frames from `node` are lost; `in`: only frames to it."""
    names = [station.name for station in spec.stations]
    if node not in names:
        raise LabError(f"no node {node!r}: one of {', '.join(names)}")
    peers = [name for name in names if name != node]
    groups = {"all": [*peers, "client"], "peers": peers, "etcd": peers, "client": ["client"]}
    groups |= {spec.switch.name: [spec.switch.name]} if spec.fencing else {}
    targets = groups.get(other) or [name for name in peers if name == other]
    if not targets:
        raise LabError(f"nothing to part {node} from by {other!r}: {', '.join(peers)}, {', '.join(groups)}")
    etcd_only = other == "etcd"
    out = [Cut(node, target, etcd_only) for target in targets] if direction != "in" else []
    return out + ([Cut(target, node, etcd_only) for target in targets] if direction != "out" else [])


def apply(spec: LabSpec, cuts: list[Cut]) -> None:
    """Drop these from now on, too, all at one moment."""
    rules = [
        f"add table bridge {_TABLE}",
        f"add chain bridge {_TABLE} forward {{ type filter hook forward priority 0; policy accept; }}",
    ]
    for cut in cuts:
        ports = f"iifname {_port(cut.source)} oifname {_port(cut.target)}"
        matches = [f"tcp dport {_ETCD_PORTS}", f"tcp sport {_ETCD_PORTS}"] if cut.etcd_only else [""]
        rules += [f'add rule bridge {_TABLE} forward {ports} {match} drop comment "{cut}"' for match in matches]
    _nft(spec, "\n".join(rules) + "\n")


def heal(spec: LabSpec) -> None:
    """Let every frame through again."""
    _nft(spec, f"add table bridge {_TABLE}\ndelete table bridge {_TABLE}\n")


def in_force(spec: LabSpec) -> list[str]:
    """The cuts at present, in words, each once."""
    listing = json.loads(run(_inside(spec, "nft", "-j", "list", "ruleset")))
    comments = [entry["rule"].get("comment", "") for entry in listing["nftables"] if "rule" in entry]
    return list(dict.fromkeys(comments))


def _port(name: str) -> str:
    return f'"{NodeName(name, 0).port}"'


def _nft(spec: LabSpec, rules: str) -> None:
    run(_inside(spec, "nft", "-f", "-"), stdin=rules)


def _inside(spec: LabSpec, *argv: str) -> list[str]:
    return ["nsenter", f"--net=/run/netns/{spec.bridge}", *argv]
