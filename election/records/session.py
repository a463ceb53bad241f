"""The history of the store, the session of a node, and the fence record of its last one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from election.records.document import Count, Generation, LeaseMs, Record


@dataclass(frozen=True, slots=True)
class Identity(Record):
    """The history this store belongs to. `hactl recover` writes it anew with a higher generation."""

    uuid: str
    generation: Generation


@dataclass(frozen=True, slots=True)
class Session(Record):
    """A node's session: there while the node renews. `attempt` is never used twice within one `session_id`. `watchdog`:
    a watchdog resets the node before its lease ends, whatever else becomes of it. `machine`: what beside the machine id
    tells this machine from others (election.machine); empty: written by a version that did not know."""

    limit = 4096

    session_id: str
    machine_id: str
    boot_id: str
    lease_ms: LeaseMs
    attempt: Count
    watchdog: bool = False
    machine: str = ""


FenceState = Literal["pending", "acting", "safe"]


@dataclass(frozen=True, slots=True)
class FenceRecord(Record):
    """The fate of a node's last dead session.

    `deposed_revision` is the mod_revision of `nodes/<node>` at which it was deposed: an observer's clock counts
    only when it saw exactly that one. `generation` is set by `hactl recover`: while such a record is not
    safe, the node's whole past is unknown. `evidence`: `self-stop`, `reboot`, `confirmed`, `off`, `watchdog`.

    `executor` is the session that holds the job of fencing the node ("node/sid"; empty: nobody), `attempts` the
    number of the last device action. With `acting` that action may be under way for `action_ms` from before the
    record was written. `wanted`: the operator asked for the node to be fenced, `off` or `reboot`, whatever it owns.
    `power`: `off` when the node was switched off, by the devices of `level`, and is yet to be switched on.
    `failures`: how many rounds through all levels have failed so far, `last`: what the last action came to.
    `watchdog`, `machine`: as in the session. `over`: its writer had not seen it renewed for its whole lease.
    """

    session_id: str
    session_revision: Count
    deposed_revision: Count
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
