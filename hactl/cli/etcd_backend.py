"""The daemon's answers without a daemon: from etcd itself, by the same functions. Heavy to import."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

from election.clock import Instant, observer_elapsed
from election.keys import Keys
from election.observer import Observer, limit_ms
from election.records import FenceRecord
from election.store import StoreError, WatchBatch, WatchClosed
from election.view import Known, View
from hactl.admin import cleanups, drains, event_log, health_store, operations
from hactl.cli.client import WaitError
from hactl.cli.common import BAD_INPUT, FAILED, CliError, asked_by, open_store, tell
from hactl.config.document import read_stored
from hactl.config.errors import ConfigErrors
from hactl.config.node import NodeConfig
from hactl.daemon.observe.etcd import etcdctl_of, shown
from hactl.daemon.parts import last_known
from hactl.model.cluster import ClusterSpec
from hactl.status import document
from hactl.status.etcd import EtcdState, Writes, judge

TIMEOUT_S = 5.0
LOOK_S = 0.1
LOOK_AT_ETCD_S = 2.0


class Direct:
    """Reads all of the cluster's keys for every answer. What dead sessions it has seen, and since when, it keeps."""

    def __init__(self, config: NodeConfig) -> None:
        self._config, self._keys = config, Keys.of(config.cluster)
        self._store = open_store(config)
        self._observer = Observer(0.0, 0.0)
        self._attempts: dict[tuple[str, int], Instant] = {}

    def read(self, what: str, *, seen: str = "", wait: float = 0.0, **more: Any) -> dict[str, Any]:
        """`status`, `group`, `draining`, `events`, `timeline`."""
        if what in ("events", "timeline"):
            return self._history(what, **more)
        if what == "draining":
            return drains.progress(self._store, *self._known()[:2], **more)
        deadline = time.monotonic() + wait
        while True:
            found = self._status() if what == "status" else self._group(more["name"])
            if not seen or found["mark"] != seen or time.monotonic() >= deadline:
                return found
            time.sleep(LOOK_S)

    def do(self, what: str, **body: Any) -> dict[str, Any]:
        """As the API does it."""
        by = asked_by(self._config)
        try:
            return _OPERATIONS[what](self, by, **body)
        except operations.WaitError as error:
            raise WaitError(str(error), error.wait_ms) from None
        except operations.NoSuchError as error:
            raise CliError(str(error), BAD_INPUT) from None
        except operations.RefusedError as error:
            raise CliError(str(error), FAILED) from None

    def follow(self, limit: int) -> Iterator[dict[str, Any]]:
        """The newest events, then those that come."""
        entries, start = event_log.read(self._store, self._keys, limit, timeout_s=TIMEOUT_S)
        yield from (entry.as_dict() for entry in entries)
        news: queue.SimpleQueue[WatchBatch | WatchClosed] = queue.SimpleQueue()
        watch = self._store.watch(self._keys.event(""), start, news.put)
        try:
            while isinstance(item := news.get(), WatchBatch):
                for change in item.changes:
                    found = None if change.deleted else event_log.parse(self._keys, change.kv)
                    if found is not None:
                        yield found.as_dict()
        finally:
            watch.cancel()

    def close(self) -> None:
        """Let go of etcd."""
        self._store.close()

    def _known(self) -> tuple[View, ClusterSpec | None, str]:
        """What is known now; the third: why the configuration cannot be read."""
        view = View(self._keys)
        view.load(self._store.snapshot(self._keys.prefix, timeout_s=TIMEOUT_S))
        for node, fence in view.fences.items():
            self._observer.saw_fence(node, fence.record, clocks())
        return view, *self._spec(view)

    def _spec(self, view: View) -> tuple[ClusterSpec | None, str]:
        """The configuration, or why it cannot be read."""
        if view.config is None:
            return None, ""
        try:
            return read_stored(view.config.record, checked=False).spec, ""
        except ConfigErrors as error:
            return None, str(error)

    def _status(self) -> dict[str, Any]:
        try:
            view, spec, problem = self._known()
            health = health_store.read(self._store, self._keys, timeout_s=TIMEOUT_S)
        except StoreError as error:
            if (found := self._last_known()) is None:
                raise
            tell(f"{error}: showing what this node's daemon knew last")
            return found
        etcd = shown(EtcdState(), etcdctl_of(self._config))
        found = document.status(
            view, spec, "", observer=self._observer, now=clocks(), config_problem=problem, health=health, etcd=etcd
        )
        return {"mark": view.mark(), **found}

    def _last_known(self) -> dict[str, Any] | None:
        """What the daemon that ran here kept of the cluster, and what is wrong with etcd; None: nothing can be read."""
        kept = last_known.read(self._config.state_dir, self._keys)
        if kept is None:
            return None
        view, age_s = kept
        facts = self._store.look(LOOK_AT_ETCD_S)
        etcdctl = etcdctl_of(self._config)
        etcd = shown(judge(facts, Writes(), etcdctl), etcdctl)
        found = document.status(view, self._spec(view)[0], now=clocks(), etcd=etcd, stale_ms=round(age_s * 1000))
        return {"mark": view.mark(), **found}

    def _group(self, name: str) -> dict[str, Any]:
        view, spec, _ = self._known()
        group = spec.group(name) if spec else None
        if group is None:
            raise CliError(f"no group `{name}`", BAD_INPUT)
        found = {
            "group": document.group_status(view, spec, group, self._observer, "", clocks()),
            "move": document.move_status(name, view),
        }
        return {"mark": json.dumps(found, sort_keys=True), "revision": view.revision, **found}

    def _history(self, what: str, *, n: int, group: str = "") -> dict[str, Any]:
        limit = n if what == "events" else event_log.KEPT
        entries, _ = event_log.read(self._store, self._keys, limit, timeout_s=TIMEOUT_S)
        if what == "events":
            return {"events": [entry.as_dict() for entry in entries]}
        return {"timelines": event_log.timelines(entries, group, n)}

    def _note(self, event: str, by: str, **data: Any) -> None:
        event_log.note(self._store, self._keys, self._config.node, event, {**data, "by": by})

    def _failover(self, by: str, *, group: str, to: str) -> dict[str, Any]:
        view, spec, _ = self._known()
        move, revision = operations.failover(self._store, view, spec, group, to, by)
        self._note("asked_failover", by, group=group, to=to)
        return {"id": move.id, "from": move.from_node, "to": move.to, "revision": revision}

    def _withdraw(self, by: str, *, group: str, id: str) -> dict[str, Any]:
        return {"withdrawn": operations.withdraw(self._store, self._keys, group, id)}

    def _standby(self, by: str, *, node: str, force: bool, check: bool) -> dict[str, Any]:
        view, spec, _ = self._known()
        groups = operations.standby(self._store, view, spec, node, by, force=force, check=check)
        if not check:
            self._note("asked_standby", by, on=node)
        return {"groups": groups}

    def _online(self, by: str, *, node: str) -> dict[str, Any]:
        view, spec, _ = self._known()
        changed = operations.online(self._store, view, spec, node)
        if changed:
            self._note("asked_online", by, on=node)
        return {"changed": changed}

    def _cleanup(self, by: str, *, group: str, node: str) -> dict[str, Any]:
        view, spec, _ = self._known()
        nodes, unblocked = cleanups.cleanup(self._store, view, spec, group, node, by)
        self._note("asked_cleanup", by, group=group, on=node)
        return {"nodes": nodes, "unblocked": unblocked}

    def _drain(self, by: str, *, service: str, node: str, reason: str, force: bool) -> dict[str, Any]:
        view, spec, _ = self._known()
        wish, new = drains.drain(self._store, view, spec, service, node, by, reason=reason, force=force)
        if new:
            self._note("asked_drain", by, service=service, on=node, reason=reason)
        return {"by": wish.by, "at": wish.at, "reason": wish.reason, "changed": new}

    def _undrain(self, by: str, *, service: str, node: str) -> dict[str, Any]:
        view, spec, _ = self._known()
        changed = drains.undrain(self._store, view, spec, service, node)
        if changed:
            self._note("asked_undrain", by, service=service, on=node)
        return {"changed": changed}

    def _confirm(self, by: str, *, node: str) -> dict[str, Any]:
        view, spec, _ = self._known()
        fence = view.fences.get(node)
        left = document.lease_left_ms(self._observer, node, fence.record, clocks()) if fence else 0.0
        action = self._action_left_ms(node, fence) if fence else 0.0
        sid = operations.confirm(self._store, view, spec, node, by, left, action)
        self._note("fence_confirmed", by, on=node, sid=sid)
        return {"sid": sid}

    def _action_left_ms(self, node: str, fence: Known[FenceRecord]) -> float:
        """How long a device may still hit the node, of an executor that is gone: its time counts from here."""
        since = self._attempts.setdefault((node, fence.mod), clocks())
        return max(0.0, limit_ms(fence.record.action_ms) - observer_elapsed(since, clocks()))

    def _fence(self, by: str, *, node: str, action: str) -> dict[str, Any]:
        view, spec, _ = self._known()
        wanted = operations.fence(self._store, view, spec, node, action, by)
        self._note("fence_asked", by, on=node, action=wanted)
        return {"action": wanted}

    def _fence_test(self, by: str) -> dict[str, Any]:
        view, spec, _ = self._known()
        wish, nodes, limit_ms = operations.fence_test(self._store, view, spec, by)
        return {"id": wish.id, "nodes": nodes, "limit_ms": limit_ms}


_OPERATIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "failover": Direct._failover,
    "failover/withdraw": Direct._withdraw,
    "node/standby": Direct._standby,
    "node/online": Direct._online,
    "group/cleanup": Direct._cleanup,
    "service/drain": Direct._drain,
    "service/undrain": Direct._undrain,
    "fence/confirm": Direct._confirm,
    "fence": Direct._fence,
    "fence/test": Direct._fence_test,
}


def clocks() -> Instant:
    """Now."""
    boot, raw = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    return Instant(boot / 1e6, raw / 1e6)
