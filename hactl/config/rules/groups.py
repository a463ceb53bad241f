"""The rules for groups: one must be able to stop in time, and only addresses may overlap (docs/protocol.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from hactl.config.errors import KeyPath
from hactl.config.parts import GroupPart, Parts
from hactl.config.resources.exec import Exec
from hactl.config.resources.manifest import Manifest
from hactl.config.resources.resource import Resource
from hactl.config.rules.clones import clone_findings
from hactl.config.rules.findings import Finding
from hactl.config.rules.promotion import instance_of
from hactl.decide.timing import format_ms, kill_time_ms
from hactl.model.cluster import Timing


def group_findings(parts: Parts) -> Iterator[Finding]:
    """The problems of each group, and warnings about it."""
    for group in parts.groups:
        if group.settings is None:
            continue
        if group.settings.run == "all":
            yield from clone_findings(group)
            continue
        if group.settings.fencing == "lease" and "fencing" not in group.unsound:
            yield from _must_stop_in_time(group, parts)
        if group.settings.overlap:
            yield from _may_overlap(group)
        yield from _probes(group, parts)
        yield from _remarks(group, parts)


def _must_stop_in_time(group: GroupPart, parts: Parts) -> Iterator[Finding]:
    """docs/protocol.md, *Session* 4: a group that cannot stop within the stop budget must not have `lease`.

    An address is removed and processes are killed at once. Other units, and resources of commands, may hold more than
    processes: SIGKILL unmounts no volume. Of a promoted role its instance is killed.
    """
    for path, resource in group.resources:
        yield from _resource_stops_in_time(group, path, resource, parts.timing)
        if resource.promote is not None and (found := instance_of(resource.promote, parts)) is not None:
            here = (*path, "promote", "of")
            for finding in _resource_stops_in_time(group, path, found[1], parts.timing):
                yield finding._replace(path=here, problem=f"{finding.problem} (`{resource.promote.of}`)")


def _resource_stops_in_time(
    group: GroupPart, path: KeyPath, resource: Resource, timing: Timing | None
) -> Iterator[Finding]:
    if resource.systemd is not None and not resource.systemd.unit.endswith(".service"):
        yield Finding(
            (*path, "systemd", "unit"),
            f"group `{group.name}` has `fencing: lease`, but killing processes does not stop "
            f"`{resource.systemd.unit}`: it may be held here when another node starts it",
            "give the group `fencing: required`, or use `exec` with a `kill` command",
        )
    if resource.exec is not None and timing is not None:
        yield from _exec_stops_in_time(group, (*path, "exec"), resource.exec, resource, timing)
    if resource.ocf is not None and timing is not None:
        yield from _agent_stops_in_time(group, (*path, "ocf"), resource, timing)
    if resource.manifest is not None:
        yield from _pod_stops_in_time(group, (*path, "manifest"), resource.manifest, timing)


def _pod_stops_in_time(group: GroupPart, path: KeyPath, manifest: Manifest, timing: Timing | None) -> Iterator[Finding]:
    """The guard removes the file, and kills the processes that it is told; it cannot hurry the kubelet."""
    if manifest.gone is None:
        yield Finding(
            path,
            f"group `{group.name}` has `fencing: lease`, but the kubelet ends the pod some time after its "
            "file is gone: for so long it may run on two nodes",
            "give `gone: {process: NAME}`, or keep this to programs with an election of their own, such as "
            "kube-scheduler",
            refused=False,
        )
    elif manifest.gone.process is None and timing is not None:
        yield Finding(
            (*path, "gone"),
            f"group `{group.name}` has `fencing: lease`, and by this it is only seen that the pod has gone: a kubelet "
            f"that takes longer than stop_budget - self_fence_lead = {format_ms(kill_time_ms(timing))} takes the node "
            "down",
            "give `process: NAME`, too, which is killed, or give the group `fencing: required`",
        )


def _exec_stops_in_time(
    group: GroupPart, path: KeyPath, commands: Exec, resource: Resource, timing: Timing
) -> Iterator[Finding]:
    if commands.command is None and commands.kill is None and (sum_ := _too_long(resource, timing)):
        kill_ms = format_ms(kill_time_ms(timing))
        hint = f"give a `kill` command that ends within {kill_ms}, or the group `fencing: required`"
        yield Finding(path, f"group `{group.name}` has `fencing: lease`, but {sum_}", hint)


def _agent_stops_in_time(group: GroupPart, path: KeyPath, resource: Resource, timing: Timing) -> Iterator[Finding]:
    if sum_ := _too_long(resource, timing):
        kill_ms = format_ms(kill_time_ms(timing))
        hint = (
            f"give the group `fencing: required`; or `stop_timeout: {kill_ms}`, where its agent stops it, and looks, "
            "in so little time, and else raise stop_budget"
        )
        yield Finding(path, f"group `{group.name}` has `fencing: lease`, but {sum_}", hint)


def _too_long(resource: Resource, timing: Timing) -> str:
    """The sum, where its `stop` may take longer than the guard has; "": it may not."""
    stop_ms, kill_ms = resource.spec().stop_timeout_ms, kill_time_ms(timing)
    if stop_ms <= kill_ms:
        return ""
    return (
        f"`stop` may take stop_timeout {format_ms(stop_ms)}, and stop_budget {format_ms(timing.stop_budget_ms)} - "
        f"self_fence_lead {format_ms(timing.self_fence_lead_ms)} = {format_ms(kill_ms)}"
    )


def _may_overlap(group: GroupPart) -> Iterator[Finding]:
    if group.settings is not None and group.settings.fencing == "required":
        yield Finding(
            (*group.path, "overlap"),
            "`overlap: true` runs the group on two nodes for a moment, `fencing: required` never does",
            "leave out one of them",
        )
    for path, resource in group.resources:
        if resource.vip is None:
            yield Finding(
                path,
                f"group `{group.name}` has `overlap: true`, but `{resource.name}` is of kind {resource.kind}: "
                "only addresses may be on two nodes for a moment",
                "move it to a group of its own, or leave out `overlap`",
            )


def _probes(group: GroupPart, parts: Parts) -> Iterator[Finding]:
    """What is asked by the other nodes must be where they reach it."""
    vips = any(resource.vip is not None for _, resource in group.resources)
    for index, probe in enumerate(group.settings.probes if group.settings is not None else ()):
        path = (*group.path, "probes", index)
        kind = "tcp" if probe.tcp is not None else "sql"
        asked = probe.tcp or probe.sql
        url = urlsplit(probe.http.url).hostname or "" if probe.http is not None else ""
        host = url or (asked.host if asked is not None else None)
        if asked is not None and host is None and not vips:
            yield Finding(
                (*path, kind),
                f"group `{group.name}` has no VIP: the other nodes would ask nobody",
                "give the probe a `host`, or the group a `vip`",
            )
        elif host and (host == "localhost" or ip_address(host).is_loopback):
            yield Finding(
                (*path, "http" if url else kind),
                f"a probe of a group is asked by the other nodes, and {host} is each of them itself",
                "give the group's VIP; to ask where the group runs, give a resource the probe",
            )
        elif probe.sql is not None and probe.sql.socket is not None:
            yield Finding(
                (*path, "sql", "socket"),
                "a probe of a group is asked by the other nodes, and a socket is on the node itself",
                "give `host` and `port`, or give a resource the probe",
            )
    if group.settings is not None and group.settings.probes and len(parts.node_names) == 1:
        yield Finding((*group.path, "probes"), "there is no other node that could ask", "add a node", refused=False)


def _remarks(group: GroupPart, parts: Parts) -> Iterator[Finding]:
    settings = group.settings
    if settings is None:
        return
    if settings.on_stop_failure == "self-fence":
        yield Finding(
            (*group.path, "on_stop_failure"),
            f"a resource of group `{group.name}` that cannot be stopped takes its node down, with all that runs there; "
            "the group is then blocked: it starts nowhere until an operator has run "
            f"`hactl group cleanup {group.name}`",
            "use `block` (the default) unless only a restart of the node frees what the group holds",
            refused=False,
        )
    places = settings.nodes or parts.node_names
    if settings.on_stop_failure == "fence" and "fencing" not in group.unsound:
        yield from _cannot_be_fenced(group, parts, places)
    if len(set(places)) == 1:
        yield Finding(
            (*group.path, "nodes"),
            f"group `{group.name}` can run on {places[0]} only: it fails over nowhere",
            "name more nodes",
            refused=False,
        )
    if settings.fencing == "required" and "fencing" not in group.unsound:
        yield from _unfenced(group, parts, places)


def _cannot_be_fenced(group: GroupPart, parts: Parts, places: Sequence[str]) -> Iterator[Finding]:
    """`on_stop_failure: fence` needs a device for each node, and a group that waits for it."""
    path = (*group.path, "on_stop_failure")
    if group.settings is not None and group.settings.fencing != "required":
        problem = f"group `{group.name}` has `on_stop_failure: fence` and `fencing: {group.settings.fencing}`"
        yield Finding(path, f"{problem}: it would start elsewhere before the node is off", "write `fencing: required`")
    devices = {
        node.name
        for _, node in parts.nodes
        if node.fencing is not None and any(level.devices for level in node.fencing.levels)
    }
    if without := [name for name in places if name not in devices]:
        yield Finding(
            path,
            f"group `{group.name}` has `on_stop_failure: fence`, and no device can switch off {', '.join(without)}",
            "give each of its nodes `fencing` with a device, or write `on_stop_failure: block`",
        )


def _unfenced(group: GroupPart, parts: Parts, places: Sequence[str]) -> Iterator[Finding]:
    """Nodes of a group that must be known to be stopped, and that nothing can stop."""
    fenced = {node.name for _, node in parts.nodes if node.fencing is not None}
    without = [name for name in places if name not in fenced]
    if without:
        yield Finding(
            (*group.path, "fencing"),
            f"group `{group.name}` has `fencing: required` and nothing can switch off {', '.join(without)}: when such "
            "a node dies it waits until that has rebooted",
            "give the node `fencing` with a device, or confirm by `hactl fence confirm NODE` when you know that it "
            "is off",
            refused=False,
        )
