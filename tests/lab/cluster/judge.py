"""What must be true after every test, whatever was done to the cluster (PROTOCOL.md, *What is promised*: S1, S3)."""

from __future__ import annotations

import ipaddress
from itertools import pairwise

from hactl.lab.cluster import Lab
from hactl.lab.spec import VIP, VIP6
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
        return {one for one in seen - self._own if not _is_local(one)}

    def complaints(self, since_ms: float, revision: int, groups: set[str], *, overlap_planned: bool) -> list[str]:
        """What went wrong since then; `overlap_planned`: the group with `overlap: true` was moved on purpose."""
        found = []
        for address in sorted(self.vips()):
            if overlap_planned and address in (VIP, VIP6):
                continue
            found += [f"{address}: {one}" for one in self.watcher.overlaps(address) if one.begin_ms >= since_ms]
        found += [f"service: {one}" for one in find_overlaps(self._lab.spec.traces) if one.second.begin_ms >= since_ms]
        for earlier, later in pairwise(read_runs(self._lab.spec.traces)):
            same = later.epoch == earlier.epoch and later.node == earlier.node
            if later.begin_ms >= since_ms and not (later.epoch > earlier.epoch or same):
                found.append(f"service: epoch went from {earlier} to {later}")
        for group in sorted(groups):
            for before, after in pairwise(self._store.history(group, revision)):
                if after.epoch < before.epoch or (after.epoch == before.epoch and after.sid != before.sid):
                    found.append(f"ownership of {group}: from {before} to {after}")
        return found


def _is_local(address: str) -> bool:
    one = ipaddress.ip_address(address)
    return one.is_loopback or one.is_link_local
