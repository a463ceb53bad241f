"""The documents in etcd, to and from JSON (PROTOCOL.md, *In etcd*).

A field that a later version adds is ignored by an earlier one; a document that cannot be read raises
RecordError, which names the key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

# The generation is the high part of every epoch: `hactl recover` raises it, and with it all later epochs.
GENERATION_BITS = 44


class RecordError(ValueError):
    """A document in the store is not what it should be."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key


@dataclass(frozen=True, slots=True)
class Record:
    """What all documents share."""

    def to_json(self) -> str:
        """The document as it is stored."""
        return json.dumps(_plain(self), separators=(",", ":"), default=_plain)

    @classmethod
    def from_json(cls, text: str, key: str = "record") -> Self:
        """Read a document; unknown fields are ignored. Raises RecordError, naming `key`."""
        try:
            raw = json.loads(text)
        except ValueError as error:
            raise RecordError(key, f"is not JSON: {error}") from None
        if not isinstance(raw, dict):
            raise RecordError(key, "is not a JSON object")
        return cls._from_mapping(raw, key)

    @classmethod
    def _from_mapping(cls, raw: Mapping[str, Any], key: str) -> Self:
        try:
            return cls(**{item.name: raw[item.name] for item in fields(cls) if item.name in raw})
        except TypeError as error:
            raise RecordError(key, str(error)) from None


def _plain(record: Record) -> dict[str, Any]:
    # Not dataclasses.asdict: it copies deeply, which is most of the cost of a renewal.
    return {item.name: getattr(record, item.name) for item in fields(record)}


@dataclass(frozen=True, slots=True)
class Identity(Record):
    """The history this store belongs to. `hactl recover` writes it anew with a higher generation."""

    uuid: str
    generation: int


@dataclass(frozen=True, slots=True)
class Session(Record):
    """A node's session: there while the node renews. `attempt` is never used twice within one `sid`. `watchdog`:
    a watchdog resets the node before its lease ends, whatever else becomes of it. `machine`: what beside the machine id
    tells this machine from others (election.machine); empty: written by a version that did not know."""

    sid: str
    machine_id: str
    boot_id: str
    lease_ms: int
    attempt: int
    watchdog: bool = False
    machine: str = ""


FenceState = Literal["pending", "acting", "safe"]


@dataclass(frozen=True, slots=True)
class FenceRecord(Record):
    """What became of a node's last dead session.

    `deposed_rev` is the mod_revision of `nodes/<node>` at which it was deposed: an observer's clock counts
    only when it saw exactly that one. `generation` is set by `hactl recover`: while such a record is not
    safe, the node's whole past is unknown. `evidence`: `self-stop`, `reboot`, `confirmed`, `off`, `watchdog`.

    `executor` is the session that holds the job of fencing the node ("node/sid"; empty: nobody), `attempts` the
    number of the last device action. With `acting` that action may be under way for `action_ms` from before the
    record was written. `wanted`: the operator asked for the node to be fenced, `off` or `reboot`, whatever it owns.
    `power`: `off` when the node was switched off, by the devices of `level`, and is yet to be switched on.
    `failures`: how many rounds through all levels have failed so far, `last`: what the last action came to.
    `watchdog`, `machine`: as in the session. `over`: whoever deposed it had not seen it renewed for its whole lease.
    """

    sid: str
    srev: int
    deposed_rev: int
    lease_ms: int
    machine_id: str
    boot_id: str
    state: FenceState
    evidence: str = ""
    by: str = ""
    generation: int = 0
    executor: str = ""
    attempts: int = 0
    action_ms: int = 0
    wanted: str = ""
    power: str = ""
    level: int = 0
    failures: int = 0
    last: str = ""
    watchdog: bool = False
    machine: str = ""
    over: bool = False


@dataclass(frozen=True, slots=True)
class Refusal(Record):
    """A machine that calls itself by the node's name takes no part, and why: for people, nothing is decided by it."""

    reason: str
    machine_id: str
    boot_id: str


@dataclass(frozen=True, slots=True)
class Holder(Record):
    """A session that may be running a group."""

    node: str
    sid: str
    srev: int


OwnershipState = Literal["owned", "handoff", "released", "unmanaged"]


@dataclass(frozen=True, slots=True)
class Ownership(Record):
    """Who runs a group. `holders` are earlier owners that may still run it beside the owner (overlap)."""

    node: str
    sid: str
    srev: int
    epoch: int
    state: OwnershipState
    holders: tuple[Holder, ...] = ()
    overlap: bool = False
    reason: str = ""

    @classmethod
    def _from_mapping(cls, raw: Mapping[str, Any], key: str) -> Self:
        holders = tuple(Holder._from_mapping(item, key) for item in raw.get("holders", ()))
        # Not zero-argument super(): slots=True makes the class anew and breaks its __class__ cell.
        return super(Ownership, cls)._from_mapping({**raw, "holders": holders}, key)

    @property
    def holder(self) -> Holder:
        """The owner itself as a holder."""
        return Holder(self.node, self.sid, self.srev)


def next_epoch(generation: int, previous: int, read_revision: int) -> int:
    """The epoch of a new ownership: grows over releases, deletions of the key, and restores (S3)."""
    low = (1 << GENERATION_BITS) - 1
    same_history = previous >> GENERATION_BITS == generation
    return (generation << GENERATION_BITS) | max((previous & low) + 1 if same_history else 1, read_revision)


@dataclass(frozen=True, slots=True)
class Member(Record):
    """What a node says of itself, written on change."""

    node: str
    address: str
    version: str
    config_revision: int
    abilities: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Move(Record):
    """The operator's wish to move a group once; deleted by the transaction that hands the group over.

    `to` is empty for "anywhere else"; `from_srev` is the session it is to leave, so that a wish that comes
    after the move is void.
    """

    id: str
    to: str
    from_node: str
    from_srev: int
    by: str = ""


@dataclass(frozen=True, slots=True)
class Failure(Record):
    """A group failed on a node: not placed there until this is deleted (by its writer, when expired). `unregistered`:
    its start could not even be begun, as the node itself was in trouble."""

    count: int
    resource: str
    reason: str
    wall_time: str = ""
    unregistered: bool = False


@dataclass(frozen=True, slots=True)
class Block(Record):
    """A group that nobody starts until an operator says so: `node`, in its session `sid`, took itself down since
    `resource` could not be stopped."""

    node: str
    sid: str
    resource: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cleanup(Record):
    """The operator's word that what failed of a group on `node` (empty: anywhere) is repaired. The newest one stays:
    daemons act once for each `id`."""

    id: str
    node: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Confirm(Record):
    """The operator's word that the dead session `sid` runs nothing any more. Daemons carry it out as soon as no device
    can hit the node, and take it away then."""

    sid: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class ResourceWarning(Record):
    """What is wrong with a resource on the node that says so, though it may run (`resource` empty: with its group).
    `topic`: in one word. `mac`: of the station that has to do with it."""

    group: str
    resource: str
    topic: str
    text: str
    mac: str = ""


@dataclass(frozen=True, slots=True)
class Report(Record):
    """What a node says of the groups on it, written on change.

    `groups`: for each group its phase, epoch and the health of each resource. `probes`: for each group the
    mod_revision of the probe it answers: what it says of that group was seen after that revision. `readiness`: for
    each group that this node is not ready for, `level` (poor, unfit) and `why`. `troubles`: what does not work on this
    node, by source: `what`, `do`, `since`. `warnings`: what is wrong with resources here.
    """

    sid: str
    config_revision: int
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    probes: dict[str, int] = field(default_factory=dict)
    readiness: dict[str, dict[str, str]] = field(default_factory=dict)
    troubles: dict[str, dict[str, str]] = field(default_factory=dict)
    warnings: tuple[ResourceWarning, ...] = ()

    @classmethod
    def _from_mapping(cls, raw: Mapping[str, Any], key: str) -> Self:
        told = raw.get("warnings", ())
        if not isinstance(told, list | tuple) or not all(isinstance(one, dict) for one in told):
            raise RecordError(key, "its warnings are no list of mappings")
        warnings = tuple(ResourceWarning._from_mapping(one, key) for one in told)
        return super(Report, cls)._from_mapping({**raw, "warnings": warnings}, key)


@dataclass(frozen=True, slots=True)
class DeviceReport(Record):
    """How a node finds the fence devices, written when an outcome is another, or when it was asked for.

    `test`: the FenceTest that it answers, if any. `at`: wall time of the writing, for people. `targets`: of every
    target of every level `node`, `device`, `plug`, `ok`, `power`, `detail`, and `since` when (wall time) it is so.
    """

    test: str
    at: str
    config_revision: int
    targets: tuple[dict[str, Any], ...] = ()

    @classmethod
    def _from_mapping(cls, raw: Mapping[str, Any], key: str) -> Self:
        targets = raw.get("targets", ())
        if not isinstance(targets, list | tuple) or not all(isinstance(one, dict) for one in targets):
            raise RecordError(key, "its targets are no list of mappings")
        return super(DeviceReport, cls)._from_mapping({**raw, "targets": tuple(targets)}, key)


@dataclass(frozen=True, slots=True)
class FenceTest(Record):
    """The operator's wish that every live node looks at every fence device now."""

    id: str
    by: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Drain(Record):
    """The operator's wish that a server gets no new connections; those that it has go on. There until it is taken
    back. `at`: wall time, for people."""

    by: str = ""
    at: str = ""
    reason: str = ""
