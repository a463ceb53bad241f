"""The rules for groups that run on every node (docs/clones.md): what makes sure that one node alone has a group means
nothing to them."""

from __future__ import annotations

from collections.abc import Iterator

from hactl.config.parts import GroupPart
from hactl.config.rules.findings import Finding

# Settings of a group that mean something only where one node at a time has it, and why not here.
_OF_ONE = {
    "fencing": "nobody takes it over from a dead node",
    "overlap": "it does not move",
    "on_stop_failure": "no other node waits for it to stop",
    "probes": "it has no address of its own",
    "moves_limit": "it does not move",
    "moves_window": "it does not move",
    "weights": "it runs on each of its nodes",
    "prefers": "it runs on each of its nodes",
    "needs": "it runs on each of its nodes, whatever room there is",
    "spread": "it runs on each of its nodes",
    "priority": "it runs on each of its nodes",
    "failback": "it does not move",
    "stickiness": "it does not move",
    "apart_from": "it runs on each of its nodes",
    "together_with": "it runs on each of its nodes",
}
_OF_ONE_KIND = {
    "vip": "an address on two nodes answers from either",
    "haproxy": "where no group has it HAProxy runs on every node by itself",
    "promote": "one of its instances is promoted by a group that runs on one node at a time",
}


def clone_findings(group: GroupPart) -> Iterator[Finding]:
    """The problems of a group with `run: all`."""
    assert group.settings is not None
    fields = type(group.settings).model_fields
    for key in sorted(_OF_ONE):
        if getattr(group.settings, key) == fields[key].get_default(call_default_factory=True):
            continue
        yield Finding(
            (*group.path, key),
            f"group `{group.name}` has `run: all`, and with it `{key}` means nothing: {_OF_ONE[key]}",
            f"leave out `{key}`, or `run: all`",
        )
    for path, resource in group.resources:
        if resource.kind in _OF_ONE_KIND:
            yield Finding(
                (*path, resource.kind),
                f"group `{group.name}` has `run: all`: {_OF_ONE_KIND[resource.kind]}",
                "move it to a group of its own, with `together_with` this one",
            )
        elif resource.mount is not None and resource.mount.made().on_block_device:
            yield Finding(
                (*path, "mount"),
                f"group `{group.name}` has `run: all`, and would mount `{resource.mount.device}` on several nodes",
                "move it to a group that runs on one node at a time; only file systems of another machine (NFS, say) "
                "can be mounted on all",
            )
