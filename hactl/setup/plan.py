"""The plan of a cluster: its nodes, its witness, its etcd. Pure.

It is what the operator typed, checked, and kept where setup ran, so that a repeat goes on with the same.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, cast, get_args

import msgspec

from hactl.setup.errors import BadInputError

CLIENT_PORT, PEER_PORT = 2379, 2380

Profile = Literal["default", "fast", "wan"]
# As in cluster.yaml and node.toml, and short enough for `hactl-NAME` in a certificate (RFC 5280: 64).
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,57}\Z")]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,57}")
_SYNTAX = "write NAME=ADDRESS, such as `n1=10.0.0.11`"
NO_MAJORITY = "--accept-even-members"


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A machine: its name and its IP address, as `ipaddress` spells it."""

    name: Name
    address: str

    def __post_init__(self) -> None:
        if usable_address(self.address) != self.address:
            raise ValueError(f"`{self.address}` is no address of a machine")

    def url(self, port: int) -> str:
        """The https URL of a port there."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"https://{host}:{port}"

    @property
    def text(self) -> str:
        """As it is typed."""
        return f"{self.name}={self.address}"


class OwnEtcd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An etcd cluster that is there already. `ca`, `cert`, `key`: paths where setup runs; "" where there is none."""

    endpoints: tuple[str, ...]
    ca: str = ""
    cert: str = ""
    key: str = ""


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change of the members that is under way: `hactl node VERB`. `host`: the machine that comes, or goes; `old`: its
    name before, of a rename; its address before, of a replacement. `members`: ids of etcd's members that go. `at`: when
    it began, in seconds since 1970."""

    verb: Literal["add", "remove", "replace", "rename"]
    host: Host
    at: float = 0.0
    old: str = ""
    members: tuple[int, ...] = ()

    @property
    def command(self) -> str:
        """As it is typed."""
        words = {"add": self.host.text, "replace": self.host.text, "rename": f"{self.old} {self.host.name}"}
        return f"hactl node {self.verb} {words.get(self.verb, self.host.name)}"


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`token` tells this etcd cluster from every other at its members' first start. `etcd`: None where setup makes
    its own. `without_member`: nodes that have no member of it. `change`: the plan is what comes out of it."""

    cluster: Name
    nodes: tuple[Host, ...]
    token: str
    witness: Host | None = None
    etcd: OwnEtcd | None = None
    profile: Profile = "default"
    even: bool = False
    without_member: tuple[Name, ...] = ()
    change: Change | None = None

    def __post_init__(self) -> None:
        problem = next(_problems(self), "")
        if problem:
            raise ValueError(problem)

    @property
    def hosts(self) -> tuple[Host, ...]:
        """All machines; the witness last."""
        return self.nodes if self.witness is None else (*self.nodes, self.witness)

    @property
    def members(self) -> tuple[Host, ...]:
        """The machines with a member of the etcd that setup makes."""
        return () if self.etcd else tuple(host for host in self.hosts if host.name not in self.without_member)

    def host(self, name: str) -> Host | None:
        """The machine of this name."""
        return next((host for host in self.hosts if host.name == name), None)

    @property
    def command(self) -> str:
        """As it is typed. What `hactl node` made of a plan cannot be typed at once: `hactl setup` goes on with it."""
        if self.without_member:
            return "hactl setup"
        words = ["hactl", "setup", "--cluster", self.cluster, *(host.text for host in self.nodes)]
        words += ["--witness", self.witness.text] if self.witness else []
        words += ["--profile", self.profile] if self.profile != "default" else []
        words += [NO_MAJORITY] if self.even else []
        if self.etcd:
            words += ["--etcd-endpoints", ",".join(self.etcd.endpoints)]
            given = (("--etcd-ca", self.etcd.ca), ("--etcd-cert", self.etcd.cert), ("--etcd-key", self.etcd.key))
            words += [word for flag, path in given if path for word in (flag, path)]
        return shlex.join(words)

    def endpoints(self, first: Host) -> tuple[str, ...]:
        """etcd's client URLs for node.toml of a machine: its own member first."""
        if self.etcd:
            return self.etcd.endpoints
        own = [host for host in self.members if host == first]
        others = [host for host in self.members if host != first]
        return tuple(host.url(CLIENT_PORT) for host in (*own, *others))

    def same(self, other: Plan) -> bool:
        """Whether it is of the same machines and the same etcd, wherever that has its members by now."""
        return _of_what(self) == _of_what(other)


def _of_what(plan: Plan) -> tuple[object, ...]:
    return plan.cluster, frozenset(plan.nodes), plan.witness, plan.etcd, plan.profile


def usable_address(text: str) -> str:
    """The address as `ipaddress` spells it; "" where it is none that a machine can be reached at."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    bad = address.is_unspecified or address.is_multicast or getattr(address, "scope_id", None)
    return "" if bad or text == "255.255.255.255" else str(address)


def read_host(text: str) -> Host:
    """`NAME=ADDRESS`. Raises BadInputError."""
    name, sign, address = text.partition("=")
    if not sign:
        raise BadInputError(f"`{text}` has no address: {_SYNTAX}")
    if not _NAME.fullmatch(name):
        characters = "up to 58 letters, digits, `-`, `_` and `.`, the first a letter or digit"
        raise BadInputError(f"`{text}`: `{name}` is no name; use {characters}")
    if not (spelt := usable_address(address)):
        raise BadInputError(f"`{text}`: `{address}` is no IP address of a machine; {_SYNTAX}")
    return Host(name, spelt)


def make_plan(
    cluster: str,
    nodes: Sequence[str],
    *,
    token: str,
    witness: str = "",
    etcd: OwnEtcd | None = None,
    profile: str = "default",
    even: bool = False,
) -> Plan:
    """The plan of what was typed. Raises BadInputError."""
    if profile not in get_args(Profile):
        raise BadInputError(f"`{profile}` is no profile: {', '.join(get_args(Profile))}")
    if not _NAME.fullmatch(cluster):
        raise BadInputError(f"`{cluster}` is no name of a cluster: use letters, digits, `-`, `_` and `.`")
    if not nodes:
        raise BadInputError(f"no nodes are given: {_SYNTAX}, one for each controller")
    hosts = tuple(read_host(text) for text in nodes)
    try:
        which = cast("Profile", profile)
        return Plan(cluster, hosts, token, read_host(witness) if witness else None, etcd, which, even)
    except ValueError as error:
        raise BadInputError(str(error)) from None


def _problems(plan: Plan) -> Iterator[str]:
    yield from _twice("name", [host.name for host in plan.hosts])
    yield from _twice("address", [host.address for host in plan.hosts])
    if not plan.nodes:
        yield "there are no nodes"
    versions = {ipaddress.ip_address(host.address).version for host in plan.hosts}
    if len(versions) > 1:
        yield "some addresses are IPv4 and some IPv6: use one kind for all machines"
    loopback = [host.text for host in plan.hosts if ipaddress.ip_address(host.address).is_loopback]
    if loopback and len(plan.hosts) > len(loopback):
        yield f"{', '.join(loopback)}: other machines cannot reach a loopback address"
    if plan.etcd and plan.witness:
        yield "`--witness` has a member of the etcd that setup makes: leave it out where `--etcd-endpoints` is given"
    yield from _even(plan)


def _even(plan: Plan) -> Iterator[str]:
    """An even number of members stands the loss of no more than one less."""
    count = len(plan.members)
    if count == 0 or count % 2 or plan.even:
        return
    if plan.witness:
        yield f"{len(plan.nodes)} nodes and a witness are {count} members of etcd: leave the witness away"
    elif count == 2:
        why = "two nodes have no majority when one of them fails, so nothing fails over"
        yield f"{why}: name a third, small machine that runs etcd alone, `--witness w=ADDRESS`; or `{NO_MAJORITY}`"
    else:
        why = f"{count} members of etcd, an even number, survive the loss of no more than {count - 1} do"
        yield f"{why}: add one node or take one away; or `{NO_MAJORITY}`"


def _twice(kind: str, values: Sequence[str]) -> Iterator[str]:
    for value in sorted({value for value in values if values.count(value) > 1}):
        yield f"the {kind} `{value}` is there twice: every machine needs its own"
