"""`hactl group cleanup`: what failed is repaired, and is tried again."""

from __future__ import annotations

import uuid

from election.reading import ReadView
from election.records import Cleanup
from election.store import Compare, Delete, Put, Store, Txn
from hactl.admin.transaction import check_node, same_history, wanted_group, write
from hactl.model.cluster import ClusterSpec


def cleanup(
    store: Store, view: ReadView, spec: ClusterSpec | None, group: str, node: str, by: str
) -> tuple[list[str], bool]:
    """Forget that `group` failed on `node` or ("") anywhere, and that it is blocked: what failed is repaired, and is
    tried again at once. The nodes that it was kept off, and whether it was blocked."""
    keys, block = view.keys, view.blocks.get(group)
    if block is None:
        wanted_group(spec, group)
    if node:
        check_node(spec, node)
    failed = {name: view.failures[f"{group}/{name}"] for name in _kept_off(view, group) if node in ("", name)}
    unblocked = block is not None and node in ("", block.record.node)
    compares = [same_history(view)]
    deletes = [Delete(keys.failure(group, name)) for name in failed]
    if block is not None and unblocked:
        compares.append(Compare(keys.blocked(group), "mod", block.mod_revision))
        deletes.append(Delete(keys.blocked(group)))
    word = Cleanup(uuid.uuid4().hex[:12], node, by)
    write(store, Txn(tuple(compares), (*deletes, Put(keys.cleanup(group), word.to_json()))), f"group {group}")
    return sorted(failed), unblocked


def _kept_off(view: ReadView, group: str) -> list[str]:
    return [name for key in view.failures for of, _, name in [key.partition("/")] if of == group]
