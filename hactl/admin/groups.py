"""`hactl group cleanup`: a repaired group is tried again."""

from __future__ import annotations

import uuid
from typing import NamedTuple

from election.reading import ReadView
from election.records import Cleanup
from election.store import Compare, Delete, Put, Store, Txn
from hactl.admin.transaction import check_node, same_history, wanted_group, write
from hactl.model.cluster import ClusterSpec


class Cleaned(NamedTuple):
    """`nodes`: that it was kept off. `unblocked`, `freed`: it was blocked; it was held."""

    nodes: list[str]
    unblocked: bool
    freed: bool


def cleanup(store: Store, view: ReadView, spec: ClusterSpec | None, group: str, node: str, by: str) -> Cleaned:
    """Forget that `group` failed on `node` or ("") anywhere, that it is blocked or held, and how often it was moved: it
    is repaired, and is tried again at once."""
    keys, block = view.keys, view.blocks.get(group)
    if block is None:
        wanted_group(spec, group)
    if node:
        check_node(spec, node)
    kept_off = [key.partition("/")[2] for key in view.failures if key.partition("/")[0] == group]
    failed = sorted(name for name in kept_off if node in ("", name))
    unblocked = block is not None and node in ("", block.record.node)
    compares = [same_history(view)]
    deletes = [Delete(keys.failure(group, name)) for name in failed]
    if block is not None and unblocked:
        compares.append(Compare(keys.blocked(group), "mod", block.mod_revision))
        deletes.append(Delete(keys.blocked(group)))
    flapping = view.flapping.get(group)
    freed = flapping is not None and flapping.record.held != "" and node in ("", flapping.record.held)
    if flapping is not None and (freed or not node):
        compares.append(Compare(keys.flapping(group), "mod", flapping.mod_revision))
        deletes.append(Delete(keys.flapping(group)))
    word = Cleanup(uuid.uuid4().hex[:12], node, by)
    write(store, Txn(tuple(compares), (*deletes, Put(keys.cleanup(group), word.to_json()))), f"group {group}")
    return Cleaned(failed, unblocked, freed)
