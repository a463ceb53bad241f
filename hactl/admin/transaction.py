"""Parts of every action's transaction: it holds only on the state that was read before."""

from __future__ import annotations

from election.reading import ReadView
from election.store import Condition, Store, Txn
from hactl.admin.errors import NoSuchError, RefusedError
from hactl.config.errors import suggest
from hactl.model.cluster import ClusterSpec, GroupSpec

TIMEOUT_S = 5.0


def write(store: Store, txn: Txn, subject: str) -> int:
    """Carry it out; the revision. Raises RefusedError when `subject` has changed since it was read."""
    answer = store.txn(txn, timeout_s=TIMEOUT_S)
    if not answer.succeeded:
        raise RefusedError(f"{subject} changed meanwhile: look at `hactl status` and try again")
    return answer.revision


def same_history(view: ReadView) -> Condition:
    """The condition of every transaction. Raises RefusedError where there is no cluster."""
    if view.identity is None and view.mod_of(view.keys.identity):
        raise RefusedError(f"{view.keys.identity} cannot be read: see `hactl status` for what to do first")
    if view.identity is None:
        raise RefusedError("the store holds no cluster: `hactl init`, or `hactl recover` for one that was lost")
    return view.same_history


def wanted_group(spec: ClusterSpec | None, name: str) -> GroupSpec:
    """The configured group of this name. Raises NoSuchError."""
    group = spec.group(name) if spec else None
    if group is None:
        names = [group.name for group in spec.groups] if spec else []
        raise NoSuchError(f"no group `{name}`; {suggest(name, names) or 'there are none'}")
    return group


def exclusive_group(spec: ClusterSpec | None, name: str) -> GroupSpec:
    """The configured group of this name, if it runs on one node at a time. Raises RefusedError."""
    group = wanted_group(spec, name)
    if group.run == "all":
        raise RefusedError(
            f"group {name} runs on every node, so it cannot be moved: to have it leave a node `hactl group ban {name} "
            "NODE`"
        )
    return group


def check_node(spec: ClusterSpec | None, name: str) -> None:
    """Raises NoSuchError where no node of this name is configured."""
    names = [node.name for node in spec.nodes] if spec else []
    if name not in names:
        raise NoSuchError(f"no node `{name}`; {suggest(name, names) or 'no configuration is known'}")
