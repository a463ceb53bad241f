"""`hactl etcd defrag`: gives back what etcd's databases do not use, and is the way out of a full etcd."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from election.etcd.facts import EndpointFacts
from hactl.admin.errors import RefusedError
from hactl.admin.etcd.access import EtcdAdmin
from hactl.status.etcd.judge import EtcdState
from hactl.status.etcd.problems import answering, called, leads, members_of, mib, voters
from hactl.status.etcd.strain import DEFAULT_QUOTA, nearly_full

# A member writes its whole database anew, and answers nothing meanwhile.
_DEFRAG_S = 300.0
_AGAIN_S = 60.0
_LOOK_AGAIN_S = 0.2

Report = Callable[[str], None]


class Freed(NamedTuple):
    """What one member's database took before and after, in bytes."""

    member: str
    before: int
    after: int


def defragment(admin: EtcdAdmin, report: Report, *, force: bool = False) -> list[Freed]:
    """One member after another, the leader last and no longer as the leader. An etcd that is full, or nearly, is
    compacted before, and its alarm is ended after. `force`: also where a member is away. Raises RefusedError."""
    state = admin.look()
    _check_whole(state, force)
    full = any("NOSPACE" in fact.alarms for fact in state.facts)
    if full or any(nearly_full(fact) for fact in answering(state.facts)):
        _compact(admin, state, report)
    names = {member.id: called(member) for member in members_of(state.facts)}
    before = {fact.endpoint: fact.db_bytes for fact in state.facts}
    freed = []
    for fact in in_order(state.facts):
        name = names.get(fact.member_id, fact.endpoint)
        now = _await_well(admin, fact.endpoint, name)
        if leads(now):
            _move_leader(admin, now, [done for done in in_order(state.facts) if done is not fact], names, report)
        report(f"{name}: defragmenting; it answers nothing meanwhile")
        admin.etcdctl("defrag", endpoint=fact.endpoint, timeout_s=_DEFRAG_S)
        now = _await_well(admin, fact.endpoint, name)
        freed.append(Freed(name, before[fact.endpoint], now.db_bytes))
    if full:
        _disarm(admin, report)
    return freed


def in_order(facts: Sequence[EndpointFacts]) -> list[EndpointFacts]:
    """An endpoint of each member that can be defragmented, the leader's last."""
    by_member = {fact.member_id: fact for fact in reversed(facts) if not fact.problem}
    return sorted(by_member.values(), key=leads)


def _check_whole(state: EtcdState, force: bool) -> None:
    """Refuse where a member's absence, and this one's silence while it is defragmented, would leave no majority."""
    for problem in state.problems:
        if problem.code in ("unreachable", "separate", "no_majority", "corrupt"):
            raise RefusedError(f"{problem.text} -> {problem.todo}")
    well = {fact.member_id for fact in answering(state.facts)}
    missing = [called(member) for member in voters(state.facts) if member.id not in well]
    if missing and not force:
        raise RefusedError(
            f"{', '.join(missing)} of etcd cannot be asked from here: while another member is defragmented, etcd may "
            "have no majority. See `hactl etcd status`; `--force` does it all the same"
        )


def _compact(admin: EtcdAdmin, state: EtcdState, report: Report) -> None:
    revision = max(fact.revision for fact in answering(state.facts))
    report(f"etcd: forgetting the history before revision {revision}")
    try:
        admin.etcdctl("compact", "--physical", str(revision), timeout_s=_DEFRAG_S)
    except RefusedError as error:
        if "has been compacted" not in str(error):
            raise


def _move_leader(
    admin: EtcdAdmin, leader: EndpointFacts, others: Sequence[EndpointFacts], names: dict[int, str], report: Report
) -> None:
    """Before it stands still; where it cannot be done, the others elect one when the leader is silent."""
    for other in others:
        if not other.learner and other.member_id != leader.member_id:
            name = names.get(other.member_id, other.endpoint)
            report(f"{name} leads from now on")
            try:
                admin.etcdctl("move-leader", f"{other.member_id:x}", endpoint=leader.endpoint)
            except RefusedError as error:
                report(f"that failed: {error}")
                continue
            return


def _await_well(admin: EtcdAdmin, endpoint: str, name: str) -> EndpointFacts:
    """Until the member answers reads."""
    deadline = time.monotonic() + _AGAIN_S
    while True:
        now = next(fact for fact in admin.look().facts if fact.endpoint == endpoint)
        if not now.problem and (now.read_ms is not None or now.learner):
            return now
        if time.monotonic() > deadline:
            why = now.problem or "no answer to reads"
            raise RefusedError(f"{name} is not well after {_AGAIN_S:.0f} s ({why}): no further member is touched")
        time.sleep(_LOOK_AGAIN_S)


def _disarm(admin: EtcdAdmin, report: Report) -> None:
    """End the alarm, unless it would be back at once; say so where it will be back soon."""
    state = admin.look()
    large = [fact for fact in answering(state.facts) if nearly_full(fact)]
    too_large = any(fact.quota_bytes and fact.db_bytes >= fact.quota_bytes for fact in large)
    if not too_large:
        admin.etcdctl("alarm", "disarm")
        report("etcd takes writes again")
    if large:
        still = "is full all the same" if too_large else "takes writes again, and will soon be full"
        raise RefusedError(
            f"etcd {still}: of the database at {large[0].endpoint} {mib(large[0].db_bytes)} are in use, of a quota of "
            f"{mib(large[0].quota_bytes or DEFAULT_QUOTA)}. See with `{state.beside.etcdctl} get --prefix --keys-only "
            "''` which keys are there, delete what is not needed, and repeat this; or raise ETCD_QUOTA_BACKEND_BYTES"
        )
