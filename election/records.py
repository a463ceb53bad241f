"""The documents in etcd, to and from JSON (docs/protocol.md, *Keys in etcd*).

Every document is read by the types of its fields, once, here: one that does not fit them is refused with RecordError,
which names the key, and nothing else is ever raised. Unknown fields are a later version's. They are ignored, and kept
where a document is changed with `dataclasses.replace`; a document that is made anew begins without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar, Literal, Self, TypedDict

import msgspec

# The generation is the high part of every epoch: `hactl recover` raises it, and with it all later epochs.
GENERATION_BITS = 44

# An epoch whose low part is beyond this leaves the next ones no room: nobody has counted that far.
LAST_EPOCH = 1 << (GENERATION_BITS - 1)

# How deep what is free in a document may be nested, and how much of a text is left when a document is too large.
DEEPEST = 32
CLIPPED = 300

# How nodes, groups and services are named (hactl.config.fields).
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"

Name = Annotated[str, msgspec.Meta(pattern=rf"^{NAME}\Z")]
NameOrNone = Annotated[str, msgspec.Meta(pattern=rf"^({NAME})?\Z")]
Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Generation = Annotated[int, msgspec.Meta(ge=0, le=(1 << 18) - 1)]
# A lease that is longer than a week is none (hactl.decide.timing refuses it, too).
LONGEST_LEASE_MS = 7 * 86_400_000
LeaseMs = Annotated[int, msgspec.Meta(gt=0, le=LONGEST_LEASE_MS)]


class RecordError(ValueError):
    """A document in the store is not what it should be."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{printable(key)}: {printable(problem)}")
        self.key, self.problem = key, printable(problem)


@dataclass(frozen=True, slots=True)
class Record:
    """What all documents share. `unknown`: fields of a later version. `limit`: the longest document of the kind."""

    limit: ClassVar[int] = 1 << 16

    unknown: Mapping[str, Any] | None = field(default=None, compare=False, repr=False, kw_only=True)

    def to_json(self) -> str:
        """The document as it is stored; texts are cut where it would be too large to be read again."""
        plain = {name: getattr(self, name) for name in _names(type(self))}
        if self.unknown:
            plain.update(self.unknown)
        text = _encode(plain)
        return text if len(text) <= self.limit else _encode(_tidy(plain, CLIPPED))

    @classmethod
    def from_json(cls, text: str, key: str = "record") -> Self:
        """Read a document. Raises RecordError, naming `key`."""
        if len(text) > cls.limit:
            raise RecordError(key, f"is longer than the {cls.limit} characters that it may have")
        try:
            raw = _DECODER.decode(text)
            if not isinstance(raw, dict):
                raise RecordError(key, "is not a JSON object")
            unknown = {name: raw.pop(name) for name in raw.keys() - _names(cls)}
            found = msgspec.convert(raw, cls)
        except msgspec.ValidationError as error:
            raise RecordError(key, str(error)) from None
        except RecursionError:
            raise RecordError(key, "is nested too deeply") from None
        except UnicodeEncodeError:
            raise RecordError(key, "is not UTF-8") from None
        except msgspec.DecodeError as error:
            raise RecordError(key, f"is not JSON: {error}") from None
        problem = "is nested too deeply" if unknown and too_deep(unknown) else found.problem()
        if problem:
            raise RecordError(key, problem)
        return replace(found, unknown=unknown) if unknown else found

    def problem(self) -> str:
        """What is wrong with it though every field is of its type; empty: nothing."""
        return ""


_DECODER, _ENCODER = msgspec.json.Decoder(), msgspec.json.Encoder(enc_hook=str)


_FIELDS: dict[type, tuple[str, ...]] = {}


def _names(cls: type[Record]) -> tuple[str, ...]:
    if (names := _FIELDS.get(cls)) is None:
        names = _FIELDS[cls] = tuple(item.name for item in fields(cls) if item.name != "unknown")
    return names


def _encode(plain: dict[str, Any]) -> str:
    try:
        return _ENCODER.encode(plain).decode()
    except UnicodeEncodeError:  # bytes of another program that were no UTF-8
        return _ENCODER.encode(_tidy(plain, None)).decode()


def _tidy(value: Any, length: int | None) -> Any:
    """A copy with every text as UTF-8, and cut to `length`."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()[:length]
        case Mapping():
            return {_tidy(name, length): _tidy(one, length) for name, one in value.items()}
        case list() | tuple():
            return [_tidy(one, length) for one in value]
    return value


def too_deep(value: Any) -> bool:
    """Whether mappings and lists in it are nested deeper than DEEPEST."""
    level = [value]
    for _ in range(DEEPEST):
        level = [one for item in level if isinstance(item, dict | list) for one in _inner(item)]
        if not level:
            return False
    return True


def _inner(item: Any) -> Any:
    return item.values() if isinstance(item, dict) else item


def printable(text: str, length: int = 200) -> str:
    """Text from outside as it may be shown to people: in one line, no control characters, no half characters."""
    shown = text[: length + 1]
    if not shown.isprintable():
        shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in shown)
    return shown if len(shown) <= length else shown[: length - 1] + "…"


@dataclass(frozen=True, slots=True)
class Identity(Record):
    """The history this store belongs to. `hactl recover` writes it anew with a higher generation."""

    uuid: str
    generation: Generation


@dataclass(frozen=True, slots=True)
class Session(Record):
    """A node's session: there while the node renews. `attempt` is never used twice within one `sid`. `watchdog`:
    a watchdog resets the node before its lease ends, whatever else becomes of it. `machine`: what beside the machine id
    tells this machine from others (election.machine); empty: written by a version that did not know."""

    limit = 4096

    sid: str
    machine_id: str
    boot_id: str
    lease_ms: LeaseMs
    attempt: Count
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
    srev: Count
    deposed_rev: Count
    lease_ms: LeaseMs
    machine_id: str
    boot_id: str
    state: FenceState
    evidence: str = ""
    by: str = ""
    generation: Generation = 0
    executor: str = ""
    attempts: Count = 0
    action_ms: Count = 0
    wanted: Literal["", "off", "reboot"] = ""
    power: Literal["", "off"] = ""
    level: Count = 0
    failures: Count = 0
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
class Holder:
    """A session that may be running a group. A part of an ownership, which is not kept by fields it does not know."""

    node: Name
    sid: str
    srev: Count


OwnershipState = Literal["owned", "handoff", "released", "unmanaged"]


@dataclass(frozen=True, slots=True)
class Ownership(Record):
    """Who runs a group. `holders` are earlier owners that may still run it beside the owner (overlap)."""

    node: Name
    sid: str
    srev: Count
    epoch: Count
    state: OwnershipState
    holders: tuple[Holder, ...] = ()
    overlap: bool = False
    reason: str = ""

    def problem(self) -> str:
        """An epoch after which none could follow."""
        low = self.epoch & ((1 << GENERATION_BITS) - 1)
        return "its `epoch` leaves no room for the next ones" if low >= LAST_EPOCH else ""

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

    node: Name
    address: str
    version: str
    config_revision: Count
    abilities: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def problem(self) -> str:
        """What is free in it is bounded, too."""
        return "is nested too deeply" if too_deep(self.extra) else ""


@dataclass(frozen=True, slots=True)
class Move(Record):
    """The operator's wish to move a group once; deleted by the transaction that hands the group over.

    `to` is empty for "anywhere else"; `from_srev` is the session it is to leave, so that a wish that comes
    after the move is void.
    """

    id: str
    to: NameOrNone
    from_node: Name
    from_srev: Count
    by: str = ""


@dataclass(frozen=True, slots=True)
class Failure(Record):
    """A group failed on a node: not placed there until this is deleted (by its writer, when expired). `unregistered`:
    its start could not even be begun, as the node itself was in trouble."""

    count: Count
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


class ReadinessReport(TypedDict, total=False):
    """How ready a node is for one group."""

    level: str
    why: str


class TroubleReport(TypedDict, total=False):
    """What does not work on a node."""

    what: str
    do: str
    since: str


class GroupReport(TypedDict, total=False):
    """What a node says of one group."""

    phase: str
    epoch: int
    resources: dict[str, str]
    reason: str
    failed: bool


@dataclass(frozen=True, slots=True)
class ResourceWarning:
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

    limit = 1 << 20

    sid: str
    config_revision: Count
    groups: dict[str, GroupReport] = field(default_factory=dict)
    probes: dict[str, Count] = field(default_factory=dict)
    readiness: dict[str, ReadinessReport] = field(default_factory=dict)
    troubles: dict[str, TroubleReport] = field(default_factory=dict)
    warnings: tuple[ResourceWarning, ...] = ()


class TargetReport(TypedDict, total=False):
    """How a fence device was found for one node."""

    node: str
    device: str
    plug: str
    ok: bool
    power: str
    detail: str
    since: str
    seconds: float


@dataclass(frozen=True, slots=True)
class DeviceReport(Record):
    """How a node finds the fence devices, written when an outcome is another, or when it was asked for.

    `test`: the FenceTest that it answers, if any. `at`: wall time of the writing, for people. `targets`: of every
    target of every level `node`, `device`, `plug`, `ok`, `power`, `detail`, and `since` when (wall time) it is so.
    """

    limit = 1 << 20

    test: str
    at: str
    config_revision: Count
    targets: tuple[TargetReport, ...] = ()


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
