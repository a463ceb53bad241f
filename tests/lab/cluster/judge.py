"""The promises that hold after every test, whatever was done to the cluster (docs/protocol.md, *Guarantees*: S1,
S3)."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from itertools import pairwise

from hactl.lab.cluster import Lab
from hactl.lab.traces import find_overlaps, read_runs
from hactl.lab.watcher import AddressWatcher

from .gateway import Gateway


class Judge:
    """Watches a lab for as long as it is up."""

    def __init__(self, lab: Lab, store: Gateway) -> None:
        self._lab, self._store = lab, store
        self.watcher: AddressWatcher = lab.watch().start()
        own = {station.address for station in lab.spec.stations} | {station.address6 for station in lab.spec.stations}
        self._own = own

    def vips(self) -> set[str]:
        """Every address that any node ever had beside its own."""
        seen = {change.address for change in self.watcher.changes()}
        return {address for address in seen - self._own if not _is_local(address)}

    def twice(self, since_ms: float, planned: Collection[str] = ()) -> list[str]:
        """Things that two nodes had at one time since then, except addresses where that was `planned`. Asks no
        store."""
        overlaps = [
            f"{address}: {overlap}"
            for address in sorted(self.vips().difference(planned))
            for overlap in self.watcher.overlaps(address)
            if overlap.begin_ms >= since_ms
        ]
        return overlaps + [
            f"service: {overlap}"
            for overlap in find_overlaps(self._lab.spec.traces)
            if overlap.second.begin_ms >= since_ms
        ]

    def backwards(self, since_ms: float, revision: int, groups: set[str]) -> list[str]:
        """Where an epoch did not grow from one owner to the next since then."""
        problems = []
        for earlier, later in pairwise(read_runs(self._lab.spec.traces)):
            same = later.epoch == earlier.epoch and later.node == earlier.node
            if later.begin_ms >= since_ms and not (later.epoch > earlier.epoch or same):
                problems.append(f"service: epoch went from {earlier} to {later}")
        for group in sorted(groups):
            for before, after in pairwise(self._store.history(group, revision)):
                if after.epoch < before.epoch or (
                    after.epoch == before.epoch and after.session_id != before.session_id
                ):
                    problems.append(f"ownership of {group}: from {before} to {after}")
        return problems


def _is_local(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return parsed.is_loopback or parsed.is_link_local
