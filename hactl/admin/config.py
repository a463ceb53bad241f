"""`hactl config check` and `hactl config apply`: their logic, for the command line to wire up and print."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from election.keys import Keys
from election.records import Ownership, RecordError
from election.store import Compare, Condition, Delete, Get, KeyValue, Operation, Put, SameValue, Store, StoreError, Txn
from fencing.linux.clock import utc
from hactl.config.advice import ask_agents
from hactl.config.diff import Change, diff, guarded_groups, refusals
from hactl.config.document import StoredSpec, as_settings, read_stored
from hactl.config.errors import ConfigErrors, Problem
from hactl.config.load import Loaded, read_cluster
from hactl.config.majority import majority_findings, no_failover
from hactl.config.rules.agents import agent_findings, secret_findings, watchdog_findings
from hactl.config.rules.haproxy_check import check_with_haproxy
from hactl.config.rules.health_here import health_here
from hactl.config.rules.hooks_here import hooks_here
from hactl.config.rules.ocf import ocf_findings
from hactl.config.rules.programs import program_findings
from hactl.config.signature import digest, sign, signed_by
from hactl.config.stored import FORMAT, StoredConfig
from hactl.decide.timing import Breakdown, format_ms, service_worst_case_ms, settings, worst_case_ms
from hactl.haproxy.effective import check_times
from hactl.haproxy.settings import HaproxySettings
from hactl.model.cluster import ClusterSpec
from hactl.model.resources import ResourceSpec

# How many configurations the history keeps.
HISTORY = 100

# etcd takes 128 conditions a transaction (its `--max-txn-ops`).
MAX_GUARDED = 120

_TIMEOUT_S = 5.0

CheckHere = Callable[[ResourceSpec], list[str]]


@dataclass(frozen=True, slots=True)
class Report:
    """The output of `hactl config check`. Not `ok`: exit status 2; `loaded` is None then. `notes`: the checks that were
    not possible here."""

    lines: tuple[str, ...]
    ok: bool
    loaded: Loaded | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AppliedResult:
    """The outcome of `hactl config apply`.

    `refused`: why nothing was written; empty after a write, or when there was nothing to change (`changes` is
    empty then). `serial`: the configuration now in use, 0: none. `revision`: its mod_revision in the store.
    `signed`: nothing but the signature is new. `remarks`: further warnings for the operator.
    """

    refused: tuple[str, ...]
    serial: int
    revision: int
    changes: tuple[Change, ...] = ()
    signed: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """The store holds the wanted configuration."""
        return not self.refused


def check_file(
    path: Path,
    *,
    node: str = "",
    check_here: CheckHere | None = None,
    doubt_here: CheckHere | None = None,
    has_watchdog: bool = True,
    haproxy: HaproxySettings | None = None,
    endpoints: int = 0,
) -> Report:
    """Check a cluster.yaml without the cluster; fence agents and OCF agents that are installed here are asked.

    `node`: the name of this one. `check_here`: the problems of a resource on this machine, asked for the groups that
    may run here; `doubt_here`: its warnings. `has_watchdog`: this node's watchdog is in use. `haproxy`: where HAProxy
    is on this machine; it is asked whether it accepts the generated file. `endpoints`: how many of etcd's members this
    node asks, 0: not known.
    """
    notes: tuple[str, ...] = ()
    try:
        loaded = read_cluster(path)
        problems = list(_problems_here(loaded, node, check_here)) if check_here else []
        findings = agent_findings(loaded) if loaded.spec.fencing.devices else []
        if os.geteuid() == 0 and any(known.name == node for known in loaded.spec.nodes):
            findings += secret_findings(loaded, node)
        findings += ocf_findings(loaded, ask_agents(loaded.spec), node)
        findings += program_findings(loaded)
        findings += [*hooks_here(loaded, node), *health_here(loaded, node)]
        findings += [] if has_watchdog else watchdog_findings(loaded, node)
        if haproxy is not None:
            by_haproxy = check_with_haproxy(loaded, node, haproxy)
            findings += by_haproxy.findings
            notes = (f"note: {by_haproxy.note}",) if by_haproxy.note else ()
        findings += majority_findings(loaded.spec, endpoints)
        remarks: list[Problem] = []
        for finding in findings:
            target = problems if finding.refused else remarks
            target.append(loaded.tree.problem(finding.path, finding.problem, finding.hint))
        if problems:
            raise ConfigErrors(problems)
        remarks += _problems_here(loaded, node, doubt_here) if doubt_here else []
        loaded = replace(loaded, warnings=(*loaded.warnings, *remarks))
    except ConfigErrors as error:
        lines = [f"error: {problem}" for problem in error.problems]
        count = "1 error" if len(lines) == 1 else f"{len(lines)} errors"
        return Report((*lines, f"{path}: {count}: nothing changed"), ok=False)
    described = _describe(path, loaded, no_failover(loaded.spec, endpoints))
    return Report((*described, *notes), ok=True, loaded=loaded, notes=notes)


def _problems_here(loaded: Loaded, node: str, check_here: CheckHere) -> Iterator[Problem]:
    for index, group in enumerate(loaded.spec.groups):
        if node not in (group.nodes or tuple(known.name for known in loaded.spec.nodes)):
            continue
        for place, resource in enumerate(group.resources):
            for complaint in check_here(resource):
                problem = f"on this node, {node}: {complaint}"
                yield loaded.tree.problem(("groups", index, "resources", place, resource.kind), problem, "")


def _describe(path: Path, loaded: Loaded, no_failover: str) -> Iterator[str]:
    spec = loaded.spec
    yield f"{path}: ok"
    yield from (f"warning: {warning}" for warning in loaded.warnings)
    counts = ((len(spec.nodes), "node"), (len(spec.groups), "group"), (len(spec.services), "service"))
    yield f"cluster {spec.name}: " + ", ".join(f"{n} {noun}{'' if n == 1 else 's'}" for n, noun in counts)
    yield "timing: " + ", ".join(f"{name} {format_ms(ms)}" for name, ms in settings(spec.timing).items())
    if spec.exclusive and no_failover:
        yield f"failover: none is promised: {no_failover}"
    elif spec.exclusive:
        yield "failover at worst, when the node dies:"
        for group in spec.exclusive:
            nodes = group.nodes or tuple(node.name for node in spec.nodes)
            yield from _breakdown(worst_case_ms(spec.timing, group, spec.fencing, nodes))
    checked = {service.name: times for service in spec.services if (times := check_times(spec, service)) is not None}
    if checked:
        yield "until HAProxy takes a dead node's server out, at worst:"
        for name, times in checked.items():
            yield from _breakdown(service_worst_case_ms(name, times))


def _breakdown(bound: Breakdown) -> Iterator[str]:
    starts = f", then {_share(sum(part.ms or 0 for part in bound.starts))} to start" if bound.starts else ""
    yield f"  {bound.subject}: {_share(bound.takeover_ms)}{starts}"
    for part in bound.parts + bound.starts:
        yield f"    {_share(part.ms):>8}  {part.name}: {part.why}"


def _share(ms: float | None) -> str:
    return "no bound" if ms is None else format_ms(round(ms))


def apply(
    store: Store,
    keys: Keys,
    spec: ClusterSpec,
    *,
    by: str,
    key: bytes | None = None,
    expect_revision: int | None = None,
    used: int = 0,
) -> AppliedResult:
    """Put `spec` into the store, in one transaction that holds only on the state that was read before.

    `key`: the cluster's, to sign it with; None: there is none here. `expect_revision`: the mod_revision that `config`
    must have (0: there is none yet). `used`: the serial of the configuration that this node used last: nodes with a key
    use none that is older, whatever is in the store by now. Raises StoreError when the outcome is unknown: applying the
    same again is safe.
    """
    read = store.txn(Txn((), (Get(keys.identity), Get(keys.config))), timeout_s=_TIMEOUT_S).reads
    identity, current = read[keys.identity], read[keys.config]
    revision = current.mod_revision if current else 0
    try:
        stored, readable = _in_use(store, keys, current)
    except ConfigErrors as error:
        return AppliedResult((f"the configuration in use cannot be read: {error}",), 0, revision)
    serial = stored.serial if stored else 0
    trust = _trust(current, spec.name, key)
    counted = _counted(store, keys, stored if readable else None, trust == "signed", used)
    refused = _not_here(keys, spec, identity, revision, expect_revision)
    refused += [_NO_KEY] if trust == "unknown" else []
    if identity is None or refused:
        return AppliedResult(tuple(refused), serial, revision)
    changes = tuple(diff(stored.spec, spec)) if stored else ()
    if stored and readable and not changes and trust in ("signed", "unsigned") and serial >= used:
        return AppliedResult((), serial, revision)
    compares = [Compare(keys.config, "mod", revision)]
    if stored:
        held, refused = _guarded(store, keys, stored, spec)
        if refused:
            return AppliedResult(tuple(refused), serial, revision, changes)
        compares += held
    history = SameValue(keys.identity, identity.value)
    done = _write(store, keys, (history, *compares), revision, _envelope(spec, counted + 1, by, key), changes)
    done = done if done.ok else replace(done, serial=serial)
    remarks = (f"configuration {serial} was not signed with this cluster's key",) if trust == "altered" else ()
    return replace(done, signed=done.ok and stored is not None and not changes, remarks=remarks)


def _in_use(store: Store, keys: Keys, current: KeyValue | None) -> tuple[StoredSpec | None, bool]:
    """The configuration in use: that in etcd or, where there is none (any more) or nobody can read it (False), the
    newest of its history. A document of a later format is no garbage: it is refused. Raises ConfigErrors."""
    try:
        if current is not None:
            return read_stored(current.value, checked=False), True
    except ConfigErrors:
        assert current is not None
        with contextlib.suppress(RecordError):
            if StoredConfig.from_json(current.value, current.key).format > FORMAT:
                raise
    for kv in reversed(store.snapshot(_history(keys), timeout_s=_TIMEOUT_S).items):
        with contextlib.suppress(ConfigErrors):
            return read_stored(kv.value, key=kv.key, checked=False), False
    return None, False


def _counted(store: Store, keys: Keys, stored: StoredSpec | None, signed: bool, used: int) -> int:
    """The highest serial so far, as far as it is known here: nodes with a key use nothing below it. An absurd serial
    counts only if it is `signed` with the key: it would leave no serial for later configurations."""
    if stored is not None:
        serials = [stored.serial]
    else:
        serials = [_serial_of(kv.key) for kv in store.snapshot(_history(keys), timeout_s=_TIMEOUT_S).items]
    return max([used, *(serial for serial in serials if serial < _ABSURD or (signed and stored))])


def _serial_of(key: str) -> int:
    number = key.rpartition("/")[2]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 20 else 0


def _history(keys: Keys) -> str:
    return keys.config_history(0).rpartition("/")[0] + "/"


# No cluster has had so many configurations.
_ABSURD = 1 << 40

_NO_KEY = (
    "this cluster's configuration is signed with its key, and there is none here: run this on a node that has "
    "`cluster_key`, or copy it from there"
)


def _trust(current: KeyValue | None, cluster: str, key: bytes | None) -> str:
    """The signature of the configuration in use, as this machine can check it: `signed`; `unsigned`, where there is no
    key; `unknown`: it is signed and there is no key here; `altered`: it should be signed with this key and is not."""
    try:
        stored = StoredConfig.from_json(current.value, current.key) if current else None
    except RecordError:
        return "altered"
    if key is None:
        return "unknown" if stored and stored.signature else "unsigned"
    return "signed" if stored is None or signed_by(stored, cluster, key) else "altered"


def sign_in_use(store: Store, keys: Keys, cluster: str, used: str, *, by: str, key: bytes) -> AppliedResult:
    """Sign the configuration in the store, if it is `used`: the digest of the one that this node uses. Raises
    StoreError when the outcome is unknown."""
    current, _ = store.get(keys.config, timeout_s=_TIMEOUT_S)
    identity, _ = store.get(keys.identity, timeout_s=_TIMEOUT_S)
    if current is None or identity is None:
        return AppliedResult((f"there is no cluster `{cluster}` in this store yet: begin it by `hactl init`",), 0, 0)
    try:
        stored = StoredConfig.from_json(current.value, current.key)
    except RecordError as error:
        return AppliedResult((f"the configuration in use cannot be read: {error}",), 0, current.mod_revision)
    if signed_by(stored, cluster, key):
        return AppliedResult((), stored.serial, current.mod_revision)
    if digest(current.value) != used:
        other = (
            f"configuration {stored.serial} in etcd (by {stored.by or 'nobody'}) is not the one that this node uses: "
            "look at `hactl config diff`, and apply your own file by `hactl config apply FILE`"
        )
        return AppliedResult((other,), stored.serial, current.mod_revision)
    compares = (SameValue(keys.identity, identity.value), Compare(keys.config, "mod", current.mod_revision))
    wanted = sign(replace(stored, serial=stored.serial + 1, by=by, at=utc()), cluster, key)
    return replace(_write(store, keys, compares, current.mod_revision, wanted, ()), signed=True)


def first_document(spec: ClusterSpec, *, by: str, key: bytes | None = None, used: int = 0) -> str:
    """The value of `config` for `hactl init` and `hactl recover`, signed with the cluster's `key` if there is one.
    `used`: the serial of the configuration that this node used last."""
    return _envelope(spec, used + 1, by, key).to_json()


def _envelope(spec: ClusterSpec, serial: int, by: str, key: bytes | None) -> StoredConfig:
    return sign(StoredConfig(serial, as_settings(spec), by, utc()), spec.name, key)


def _not_here(
    keys: Keys, spec: ClusterSpec, identity: KeyValue | None, revision: int, expect_revision: int | None
) -> list[str]:
    if keys != Keys.of(spec.name):
        return [f"the file is of cluster `{spec.name}`, this store's keys are below {keys.prefix}"]
    if identity is None:
        return [f"there is no cluster `{spec.name}` in this store yet: begin it by `hactl init`"]
    if expect_revision is not None and expect_revision != revision:
        return [
            f"the configuration in use has revision {revision}, not {expect_revision}: somebody changed it; look at "
            "the difference and apply again"
        ]
    return []


def _guarded(store: Store, keys: Keys, stored: StoredSpec, spec: ClusterSpec) -> tuple[list[Compare], list[str]]:
    """The conditions that the groups which must be released stay so, or why it is refused."""
    guarded = [keys.group(name) for name in guarded_groups(stored.spec, spec)]
    if len(guarded) > MAX_GUARDED:
        return [], [f"{len(guarded)} groups are deleted or moved at once: at most {MAX_GUARDED} fit a transaction"]
    reads = store.txn(Txn((), tuple(Get(key) for key in guarded)), timeout_s=_TIMEOUT_S).reads
    states = {keys.split(key)[1]: _state(kv) for key, kv in reads.items() if kv is not None}
    compares = [Compare(key, "mod", kv.mod_revision if kv else 0) for key, kv in reads.items()]
    return compares, refusals(stored.spec, spec, states)


def _state(kv: KeyValue) -> str:
    try:
        return Ownership.from_json(kv.value, kv.key).state
    except RecordError:
        return "unreadable"


def _write(
    store: Store,
    keys: Keys,
    compares: tuple[Condition, ...],
    revision: int,
    wanted: StoredConfig,
    changes: tuple[Change, ...],
) -> AppliedResult:
    value, serial = wanted.to_json(), wanted.serial
    writes: list[Operation] = [Put(keys.config, value), Put(keys.config_history(serial), value)]
    if serial > HISTORY:
        writes.append(Delete(keys.config_history(serial - HISTORY)))
    try:
        answer = store.txn(Txn(compares, tuple(writes)), timeout_s=_TIMEOUT_S)
    except StoreError:
        current, _ = store.get(keys.config, timeout_s=_TIMEOUT_S)
        if current is None or current.value != value:
            raise
        return AppliedResult((), serial, current.mod_revision, changes)
    if not answer.succeeded:
        meanwhile = "the configuration or a group changed meanwhile: apply again"
        return AppliedResult((meanwhile,), 0, revision, changes)
    return AppliedResult((), serial, answer.revision, changes)
