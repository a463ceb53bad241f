"""The daemon's answers without a daemon: from etcd itself, by the same functions. Heavy to import."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Iterator
from typing import Any, cast

from election.clock import Instant, observer_elapsed
from election.keys import Keys
from election.observer import Observer, limit_ms
from election.reading import ReadView
from election.records import FenceRecord
from election.store import StoreError, WatchBatch, WatchClosed
from election.view import Versioned, View
from fencing.linux.clock import now
from hactl.admin import drains, errors, event_log, health_store
from hactl.admin.actions import Context, Left, carry_out
from hactl.admin.requests import A, Request
from hactl.cli.client import HarmError, WaitError
from hactl.cli.common import BAD_INPUT, FAILED, CliError, open_store, operator_name, tell
from hactl.config.document import read_stored
from hactl.config.errors import ConfigErrors
from hactl.config.etcd_admin import beside
from hactl.config.node import NodeConfig
from hactl.daemon.observe.etcd import shown
from hactl.daemon.parts import last_known
from hactl.decide.placement.plan import Plan, plan
from hactl.model.cluster import ClusterSpec, GroupSpec
from hactl.status import document
from hactl.status.clones import clone_status
from hactl.status.etcd.judge import judge
from hactl.status.explain import explain
from hactl.status.explain_clone import explain_clone
from hactl.status.local import lease_left_ms

TIMEOUT_S = 5.0
LOOK_S = 0.1
LOOK_AT_ETCD_S = 1.0


class EtcdBackend:
    """Reads all of the cluster's keys for every answer. It remembers since when it has seen which dead session."""

    def __init__(self, config: NodeConfig) -> None:
        self._config, self._keys = config, Keys.of(config.cluster)
        self._store = open_store(config)
        self._observer = Observer(0.0, 0.0)
        self._attempts: dict[tuple[str, int], Instant] = {}

    def read(self, question: str, *, seen: str = "", wait: float = 0.0, **more: Any) -> dict[str, Any]:
        """`status`, `group`, `explain`, `draining`, `events`, `timeline`."""
        if question in ("events", "timeline"):
            return self._history(question, **more)
        if question == "explain":
            return self._explain(more["group"])
        if question == "draining":
            return drains.progress(self._store, *self._known()[:2], **more)
        deadline = time.monotonic() + wait
        while True:
            answer = self._status() if question == "status" else self._group(more["name"])
            if not seen or answer["mark"] != seen or time.monotonic() >= deadline:
                return answer
            time.sleep(LOOK_S)

    def do(self, request: Request[A]) -> A:
        """Carry out an operator's action, as the API does."""
        try:
            outcome = carry_out(self._context(), request)
        except errors.WaitError as error:
            raise WaitError(str(error), error.wait_ms) from None
        except errors.BadInputError as error:
            raise CliError(str(error), BAD_INPUT) from None
        except errors.HarmError as error:
            raise HarmError(str(error), FAILED) from None
        except errors.RefusedError as error:
            raise CliError(str(error), FAILED) from None
        if outcome.event:
            event_log.note(self._store, self._keys, self._config.node, outcome.event, outcome.data)
        return cast(A, outcome.answer)

    def _context(self) -> Context:
        view, spec, _ = self._known()
        left = {node: self._left(node, fence) for node, fence in view.fences.items()}
        return Context(self._store, view, spec, operator_name(self._config), left)

    def _left(self, node: str, fence: Versioned[FenceRecord]) -> Left:
        """An attempt of an executor that is gone counts from the moment it was first seen here."""
        seen = self._attempts.setdefault((node, fence.mod_revision), now())
        action_ms = max(0.0, limit_ms(fence.record.action_ms) - observer_elapsed(seen, now()))
        return Left(lease_left_ms(self._observer, node, fence.record, now()), action_ms)

    def follow(self, limit: int) -> Iterator[dict[str, Any]]:
        """The newest events, then those that come."""
        entries, start = event_log.read(self._store, self._keys, limit, timeout_s=TIMEOUT_S)
        yield from (entry.as_dict() for entry in entries)
        news: queue.SimpleQueue[WatchBatch | WatchClosed] = queue.SimpleQueue()
        watch = self._store.watch(self._keys.event(""), start, news.put)
        try:
            while isinstance(batch := news.get(), WatchBatch):
                for change in batch.changes:
                    if not change.deleted and (entry := event_log.parse(self._keys, change.kv)) is not None:
                        yield entry.as_dict()
        finally:
            watch.cancel()

    def close(self) -> None:
        """Let go of etcd."""
        self._store.close()

    def _known(self) -> tuple[View, ClusterSpec | None, str]:
        """The cluster's state, its configuration, and why that cannot be read."""
        view = View(self._keys)
        view.load(self._store.snapshot(self._keys.prefix, timeout_s=TIMEOUT_S))
        for node, fence in view.fences.items():
            self._observer.on_fence(node, fence.record, now())
        return view, *self._spec(view)

    def _spec(self, view: ReadView) -> tuple[ClusterSpec | None, str]:
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
            if (kept := self._last_known()) is None:
                raise
            tell(f"{error}: showing what this node's daemon knew last")
            return kept
        etcd = self._etcd(spec)
        status = document.status(
            view, spec, "", observer=self._observer, now=now(), config_problem=problem, health=health, etcd=etcd
        )
        return {"mark": view.mark(), **status}

    def _last_known(self) -> dict[str, Any] | None:
        """The state that the last daemon here kept, and etcd's trouble now; None: nothing can be read."""
        kept = last_known.read(self._config.state_dir, self._keys)
        if kept is None:
            return None
        view, age_s = kept
        spec = self._spec(view)[0]
        status = document.status(view, spec, now=now(), etcd=self._etcd(spec), stale_ms=round(age_s * 1000))
        return {"mark": view.mark(), **status}

    def _etcd(self, spec: ClusterSpec | None) -> dict[str, Any]:
        """etcd's own state."""
        known = beside(self._config, spec)
        return shown(judge(self._store.look(LOOK_AT_ETCD_S), known), known.etcdctl)

    def _explain(self, name: str) -> dict[str, Any]:
        planned, group = self._planned(name)
        if group.run == "all":
            return explain_clone(planned, group)
        status = document.group_status(planned.view, planned, group, self._observer, "", now())
        return explain(planned, group, status["waiting"])

    def _planned(self, name: str) -> tuple[Plan, GroupSpec]:
        view, spec, _ = self._known()
        group = spec.group(name) if spec else None
        if spec is None or group is None:
            raise CliError(f"no group `{name}`", BAD_INPUT)
        return plan(spec, view), group

    def for_simulation(self) -> tuple[View, ClusterSpec | None, list[dict[str, Any]]]:
        """The cluster's state, its configuration, and earlier takeovers; with etcd away, what this node's daemon knew
        last."""
        try:
            view, spec, _ = self._known()
            entries, _ = event_log.read(self._store, self._keys, event_log.KEPT, timeout_s=TIMEOUT_S)
        except StoreError as error:
            if (kept := last_known.read(self._config.state_dir, self._keys)) is None:
                raise
            tell(f"{error}: by what this node's daemon knew last")
            return kept[0], self._spec(kept[0])[0], []
        return view, spec, event_log.timelines(entries, "", event_log.KEPT)

    def _group(self, name: str) -> dict[str, Any]:
        planned, group = self._planned(name)
        view = planned.view
        if group.run == "all":
            known = clone_status(view, planned, group)
        else:
            known = document.group_status(view, planned, group, self._observer, "", now())
        answer = {
            "group": known,
            "move": document.move_status(name, view),
        }
        return {"mark": json.dumps(answer, sort_keys=True), "revision": view.revision, **answer}

    def _history(self, question: str, *, n: int, group: str = "") -> dict[str, Any]:
        limit = n if question == "events" else event_log.KEPT
        entries, _ = event_log.read(self._store, self._keys, limit, timeout_s=TIMEOUT_S)
        if question == "events":
            return {"events": [entry.as_dict() for entry in entries]}
        return {"timelines": event_log.timelines(entries, group, n)}
