"""What the operator may write, each as one transaction that holds only on what was looked at before.

Every function takes the store, and a view that was read lately; with a daemon that is the daemon's own. It raises
RefusedError, with nothing written, or StoreError when the outcome is unknown: then look, and try again.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from election import recovery
from election.keys import Keys
from election.ownership import session_of
from election.records import Confirm, FenceRecord, FenceTest, Identity, Move, RecordError, Session
from election.session import dead
from election.store import Compare, Condition, Delete, Operation, Put, Store, StoreError, StoreRefusedError, Txn
from election.view import Known, View
from hactl.config.errors import suggest
from hactl.decide.placement import place
from hactl.decide.readiness import reported
from hactl.decide.routing import ALL
from hactl.model.cluster import ClusterSpec, GroupSpec

TIMEOUT_S = 5.0

# How soon it is asked again whether a word was carried out.
CONFIRM_AGAIN_MS = 200.0


class RefusedError(Exception):
    """It was not done. The message says why, and what to do."""


class NoSuchError(RefusedError):
    """What was named is not there: bad input."""


class WaitError(RefusedError):
    """Not yet: in `wait_ms` it may be asked again."""

    def __init__(self, message: str, wait_ms: float) -> None:
        super().__init__(message)
        self.wait_ms = wait_ms


def init(store: Store, cluster: str, document: str) -> Identity:
    """Begin a cluster's history with the stored configuration `document`."""
    keys, identity = Keys.of(cluster), Identity(str(uuid.uuid4()), 1)
    txn = recovery.init(keys, identity.uuid, document)
    txn = txn._replace(success=(*txn.success, Put(keys.config_history(1), document)))
    try:
        answer = store.txn(txn, timeout_s=TIMEOUT_S)
    except StoreRefusedError:
        raise
    except StoreError:
        # Lost answers: mine or not is told by the uuid, which is nobody else's.
        found, _ = store.get(keys.identity, timeout_s=TIMEOUT_S)
        if found is not None and _identity(found.value, found.key).uuid == identity.uuid:
            return identity
        raise
    if answer.succeeded:
        return identity
    there = answer.reads[keys.identity]
    if there is None:
        raise RefusedError(
            f"{keys.config} is there, but no identity: it was a cluster and has lost it; `hactl recover`"
        )
    known = _identity(there.value, there.key)
    raise RefusedError(
        f"there is a cluster `{cluster}` in this store already (uuid {known.uuid}, generation {known.generation}); "
        "to change its configuration: `hactl config apply FILE`"
    )


def recover(
    store: Store,
    view: View,
    known_generation: int,
    nodes: Iterable[str],
    lease_ms: float,
    document: str,
    *,
    lost: bool = False,
) -> int:
    """Begin the history anew; the new generation. `nodes`: all that may ever have run something; `lease_ms`: the
    longest lease of theirs. `document`: the stored configuration, for where the store has lost its own; `lost`: it
    has, as nobody can read it."""
    if (view.config is None or lost) and not document:
        raise RefusedError("the store has lost its configuration: give the file, `hactl recover CLUSTER_YAML`")
    begun = str(uuid.uuid4())
    txn = recovery.recover(view, begun, known_generation, nodes, int(lease_ms), document, lost=lost)
    answer = store.txn(txn, timeout_s=TIMEOUT_S)
    if not answer.succeeded:
        raise RefusedError("the store changed meanwhile (a daemon opened a session): try again")
    found, _ = store.get(view.keys.identity, timeout_s=TIMEOUT_S)
    return _identity(found.value, found.key).generation if found else 0


def failover(store: Store, view: View, spec: ClusterSpec | None, group: str, to: str, by: str) -> tuple[Move, int]:
    """Wish that `group` moves once, to the node `to` or ("") to the best other one; the wish, and the revision at
    which it was written. A wish that is there already is replaced. Naming a node on which it failed says that it is
    repaired: that is forgotten."""
    keys, found = view.keys, view.groups.get(group)
    wanted = wanted_group(spec, group)
    assert spec is not None
    if to:
        check_node(spec, to)
    if keys.group(group) in view.unreadable:
        raise RefusedError(f"{keys.group(group)} cannot be read: see `hactl status` for what to do first")
    if found is None or found.record.state == "released":
        raise RefusedError(f"group {group} runs nowhere, so it cannot be moved: see `hactl status` for why")
    own = found.record
    if own.state == "unmanaged":
        raise RefusedError(f"group {group} is left alone (maintenance): end that first")
    if own.state == "handoff":
        raise RefusedError(f"group {group} is on its way to {own.node} already: wait, then look at `hactl status`")
    if session_of(view, own.holder) is None:
        raise RefusedError(f"{own.node}, which has group {group}, is lost: it is taken over as soon as that is safe")
    if to == own.node:
        raise RefusedError(f"group {group} is on {to} already")
    forgotten = _check_target(spec, wanted, view, own.node, to)
    move = Move(uuid.uuid4().hex[:12], to, own.node, own.srev, by)
    compares = (
        same_history(view),
        Compare(keys.group(group), "mod", found.mod),
        Compare(keys.move(group), "mod", view.mod_of(keys.move(group))),
    )
    writes: tuple[Operation, ...] = (Put(keys.move(group), move.to_json()), *(Delete(key) for key in forgotten))
    return move, write(store, Txn(compares, writes), f"group {group}")


def withdraw(store: Store, keys: Keys, group: str, move_id: str) -> bool:
    """Take a wish back; False: it is not there any more (granted, refused, or replaced)."""
    found, _ = store.get(keys.move(group), timeout_s=TIMEOUT_S)
    try:
        if found is None or Move.from_json(found.value, found.key).id != move_id:
            return False
    except RecordError:
        return False
    txn = Txn((Compare(found.key, "mod", found.mod_revision),), (Delete(found.key),))
    return store.txn(txn, timeout_s=TIMEOUT_S).succeeded


def standby(
    store: Store, view: View, spec: ClusterSpec | None, node: str, by: str, *, force: bool = False, check: bool = False
) -> list[str]:
    """Have every group leave `node`; the groups that it has now. Refused, unless `force`, when one of them could
    run nowhere else: it would be stopped. `check`: only look whether it would be refused."""
    check_node(spec, node)
    assert spec is not None
    here = [group for group in spec.groups if _is_on(view, group.name, node)]
    stuck = [group.name for group in here if place(spec, group, view).best_but(node) is None]
    if stuck and not force:
        raise RefusedError(
            f"no other node may run {', '.join(stuck)} now, so standby would stop it: see `hactl status`; "
            "`--force` does it all the same"
        )
    if check or node in view.standby:
        return [group.name for group in here]
    txn = Txn((same_history(view), Compare(view.keys.standby(node), "mod", 0)), (Put(view.keys.standby(node), by),))
    write(store, txn, f"standby of {node}")
    return [group.name for group in here]


def online(store: Store, view: View, spec: ClusterSpec | None, node: str) -> bool:
    """End a node's standby, have its servers get new connections again, and forget what failed there: it has been
    looked after. False: it was in use."""
    failed = [view.keys.failure(key.rpartition("/")[0], node) for key in view.failures if key.endswith(f"/{node}")]
    keys = (view.keys.standby(node), view.keys.drain(ALL, node), *failed)
    there = [found for key in keys if (found := store.get(key, timeout_s=TIMEOUT_S)[0]) is not None]
    if not there:
        check_node(spec, node)
        return False
    compares = (same_history(view), *(Compare(found.key, "mod", found.mod_revision) for found in there))
    write(store, Txn(compares, tuple(Delete(found.key) for found in there)), f"standby of {node}")
    return True


def confirm(
    store: Store,
    view: View,
    spec: ClusterSpec | None,
    node: str,
    by: str,
    lease_left_ms: float,
    action_left_ms: float = float("inf"),
) -> str:
    """Take an operator's word that the dead session of `node` runs nothing any more; its sid (docs/protocol.md,
    *Fencing*). Until its lease is over, and no device can hit it any more, as counted by whoever asks: `lease_left_ms`,
    `action_left_ms`. Raises WaitError while a device is being used: then the daemons carry it out."""
    keys, fence = view.keys, view.fences.get(node)
    if node in view.sessions:
        raise RefusedError(f"{node} is alive: it has a session. There is nothing to confirm")
    if view.bad_node(node) or view.bad_fence(node):
        raise RefusedError(
            f"what the store holds of {node}'s session cannot be read: see `hactl status` for what to do"
        )
    if fence is None:
        check_node(spec, node)
        raise RefusedError(f"nothing is known of a session of {node}: there is nothing to confirm")
    record = fence.record
    if record.state == "safe" and record.evidence == "confirmed" and record.by == by:
        return record.sid  # it was carried out by a daemon meanwhile
    if record.state == "safe":
        raise RefusedError(f"{node}'s last session is known to be stopped already ({record.evidence}, by {record.by})")
    if lease_left_ms > 0:
        raise WaitError(
            f"{node}'s lease may not be over for another {lease_left_ms / 1000:.1f} s: it may be alive", lease_left_ms
        )
    if record.state == "acting" and view.sessions:
        _give_word(store, view, node, record, by)
        raise WaitError(f"a fence device is being used on {node}: {_attempt_ends(view, record)}", CONFIRM_AGAIN_MS)
    if record.state == "acting" and action_left_ms > 0:
        raise WaitError(
            f"a fence device may be in use on {node} for another {action_left_ms / 1000:.1f} s, and no node is alive "
            "that could end that",
            action_left_ms,
        )
    safe = replace(record, state="safe", evidence="confirmed", by=by)
    compares = (
        same_history(view),
        Compare(keys.fence(node), "mod", fence.mod),
        Compare(keys.node(node), "create", 0),
    )
    write(store, Txn(compares, (Put(keys.fence(node), safe.to_json()),)), f"the fence record of {node}")
    return record.sid


def _give_word(store: Store, view: View, node: str, record: FenceRecord, by: str) -> None:
    """Have the daemons carry it out: they begin no other attempt, and end the one that is under way."""
    word, before = Confirm(record.sid, by), view.confirms.get(node)
    if before is not None and before.record == word:
        return
    key = view.keys.confirm(node)
    compares = (same_history(view), Compare(key, "mod", before.mod if before else 0))
    write(store, Txn(compares, (Put(key, word.to_json()),)), f"the word about {node}")


def _attempt_ends(view: View, record: FenceRecord) -> str:
    name, _, sid = record.executor.partition("/")
    found = view.sessions.get(name)
    if found is not None and found.record.sid == sid:
        return f"{name} ends its attempt"
    return f"{name}, which used it, is gone: in {record.action_ms / 1000:g} s at most it cannot hit any more"


def fence(store: Store, view: View, spec: ClusterSpec | None, node: str, action: str, by: str) -> str:
    """Have `node` fenced, whatever it runs: `action` is `off`, `reboot`, or "" for what is configured; which it is. Or
    have it switched on: `on`.
    A live session is deposed for it; the peers do the rest."""
    if action == "on":
        return switch_on(store, view, spec, node, by)
    check_node(spec, node)
    assert spec is not None
    keys, found, fence = view.keys, view.sessions.get(node), view.fences.get(node)
    if not spec.fencing.of(node).has_device:
        raise RefusedError(
            f"no fence device can switch {node}: give it `fencing` in cluster.yaml; if it is dead, see that it is off, "
            f"then `hactl fence confirm {node}`"
        )
    if not view.sessions.keys() - {node}:
        raise RefusedError(f"no other node is alive that could fence {node}")
    wanted: Literal["off", "reboot"] = "off" if (action or spec.fencing.of(node).action) == "off" else "reboot"
    record = _to_be_fenced(node, found, fence)
    compares = (
        same_history(view),
        Compare(keys.node(node), "create", found.create if found else 0),
        Compare(keys.fence(node), "mod", view.mod_of(keys.fence(node))),
    )
    asked = replace(record, wanted=wanted, by=by)
    gone = (Delete(keys.node(node)),) if found else ()
    write(store, Txn(compares, (*gone, Put(keys.fence(node), asked.to_json()))), f"the session of {node}")
    return str(wanted)


def switch_on(store: Store, view: View, spec: ClusterSpec | None, node: str, by: str) -> str:
    """Have `node`, which is known to be stopped, switched on by its devices: those that switched it off, else those of
    its first level. The daemons do it, again and again until it is on."""
    check_node(spec, node)
    assert spec is not None
    keys, fence, fencing = view.keys, view.fences.get(node), spec.fencing.of(node)
    if not fencing.has_device:
        raise RefusedError(f"no fence device can switch {node}: switch it on by hand")
    if node in view.sessions:
        raise RefusedError(f"{node} is on: it has a session")
    if not view.sessions:
        raise RefusedError(f"no node is alive that could switch {node} on")
    if fence is None:
        raise RefusedError(f"nothing is known of a session of {node}: switch it on by hand")
    record = fence.record
    if record.state != "safe":
        raise RefusedError(
            f"{node} is not known to be stopped, it may be about to be fenced: wait (`hactl fence status`), or make "
            f"sure that it is off and say so: `hactl fence confirm {node}`"
        )
    first = next(number for number, level in enumerate(fencing.levels) if level.targets)
    level = record.level if record.evidence == "off" and record.level < len(fencing.levels) else first
    asked = replace(record, power="off", level=level, executor="")
    compares = (same_history(view), Compare(keys.node(node), "create", 0), Compare(keys.fence(node), "mod", fence.mod))
    write(store, Txn(compares, (Put(keys.fence(node), asked.to_json()),)), f"the fence record of {node}")
    return "on"


def _to_be_fenced(node: str, found: Known[Session] | None, fence: Known[FenceRecord] | None) -> FenceRecord:
    if found is not None:
        # Nobody has observed it at its end, so everybody counts from the first sight of the record.
        return replace(dead(found), deposed_rev=0)
    if fence is None:
        raise RefusedError(f"nothing is known of a session of {node}: there is nothing to fence")
    record = fence.record
    if record.state == "safe":
        raise RefusedError(f"{node} is known to be stopped already ({record.evidence}, by {record.by})")
    if record.state == "acting":
        raise RefusedError(f"{node} is being fenced just now (by {record.executor.partition('/')[0]})")
    return record


def fence_test(store: Store, view: View, spec: ClusterSpec | None, by: str) -> tuple[FenceTest, list[str], float]:
    """Have every live node look at every fence device now: the wish, who is to answer, and how long that may take, in
    ms."""
    topology = spec.fencing if spec else None
    if topology is None or not topology.nodes:
        raise RefusedError("no node has `fencing` in cluster.yaml: there is nothing to test")
    if not view.sessions:
        raise RefusedError("no node is alive that could test anything: start hactl")
    targets = Counter(one.device for node in topology.nodes.values() for level in node.levels for one in level.targets)
    limit_ms = max(
        (one.status_timeout_ms * (targets[name] + 1) for name, one in topology.devices.items() if name in targets),
        default=0,
    )
    wish = FenceTest(uuid.uuid4().hex[:12], by, datetime.now(UTC).isoformat(timespec="seconds"))
    write(store, Txn((same_history(view),), (Put(view.keys.fence_test, wish.to_json()),)), "the cluster")
    return wish, sorted(view.sessions), limit_ms


def write(store: Store, txn: Txn, what: str) -> int:
    """Carry it out; the revision. Raises RefusedError when `what` is not as it was looked at."""
    answer = store.txn(txn, timeout_s=TIMEOUT_S)
    if not answer.succeeded:
        raise RefusedError(f"{what} changed meanwhile: look at `hactl status` and try again")
    return answer.revision


def same_history(view: View) -> Condition:
    """What every transaction compares. Raises RefusedError where there is no cluster."""
    if view.identity is None and view.mod_of(view.keys.identity):
        raise RefusedError(f"{view.keys.identity} cannot be read: see `hactl status` for what to do first")
    if view.identity is None:
        raise RefusedError("the store holds no cluster: `hactl init`, or `hactl recover` for one that was lost")
    return view.same_history


def wanted_group(spec: ClusterSpec | None, name: str) -> GroupSpec:
    """The configured group of this name. Raises NoSuchError."""
    found = spec.group(name) if spec else None
    if found is None:
        names = [group.name for group in spec.groups] if spec else []
        raise NoSuchError(f"no group `{name}`; {suggest(name, names) or 'there are none'}")
    return found


def check_node(spec: ClusterSpec | None, name: str) -> None:
    """Raises NoSuchError where no node of this name is configured."""
    names = [node.name for node in spec.nodes] if spec else []
    if name not in names:
        raise NoSuchError(f"no node `{name}`; {suggest(name, names) or 'no configuration is known'}")


def _check_target(spec: ClusterSpec, group: GroupSpec, view: View, owner: str, to: str) -> list[str]:
    """Whether it may go there; the keys of what is to be forgotten first."""
    choice, failure = place(spec, group, view), f"{group.name}/{to}"
    if to and to not in choice.candidates and failure in view.failures:
        failures = {key: found for key, found in view.failures.items() if key != failure}
        choice = place(spec, group, replace(view, failures=failures))
        if to in choice.candidates:
            return [view.keys.failure(group.name, to)]
    if to and to not in choice.candidates:
        raise RefusedError(f"group {group.name} may not run on {to}: {choice.excluded.get(to, 'not eligible')}")
    if not to and choice.best_but(owner) is None:
        why = "; ".join(f"{name}: {reason}" for name, reason in choice.excluded.items())
        raise RefusedError(f"no other node may run group {group.name}: {why or 'it has one node only'}")
    target = to or choice.best_but(owner) or ""
    there = reported(view, group.name, target)
    if there.badness > reported(view, group.name, owner).badness:
        raise RefusedError(f"{target} is not well for group {group.name}, which would leave it again: {there.why}")
    return []


def _is_on(view: View, group: str, node: str) -> bool:
    found = view.groups.get(group)
    return found is not None and found.record.node == node and found.record.state == "owned"


def _identity(text: str, key: str) -> Identity:
    try:
        return Identity.from_json(text, key)
    except RecordError as error:
        raise RefusedError(f"{error}: `hactl recover` begins anew") from None
