"""What the resources of a configuration know of each other: a `promote` has the definition of its instance, and an OCF
agent's resource is told on how many nodes it runs, and by how many groups it is promoted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from hactl.model.cluster import ClusterSpec, GroupSpec
from hactl.model.resources import InstanceSpec, OcfSpec, PromoteSpec, ResourceSpec


def linked(spec: ClusterSpec) -> ClusterSpec:
    """The cluster with both. What a `promote` names and does not exist is left out: a rule refuses it."""
    promoted = Counter(
        resource.options.of
        for group in spec.groups
        for resource in group.resources
        if isinstance(resource, PromoteSpec)
    )
    groups = [_counted(group, len(group.nodes or spec.nodes), promoted) for group in spec.groups]
    instances = {
        f"{group.name}/{resource.name}": resource
        for group in groups
        for resource in group.resources
        if isinstance(resource, InstanceSpec)
    }
    return replace(spec, groups=tuple(_with_instances(group, instances) for group in groups))


def _counted(group: GroupSpec, nodes: int, promoted: Mapping[str, int]) -> GroupSpec:
    if group.run == "one":
        return group
    return replace(group, resources=tuple(_of_clone(group.name, one, nodes, promoted) for one in group.resources))


def _of_clone(group: str, resource: ResourceSpec, nodes: int, promoted: Mapping[str, int]) -> ResourceSpec:
    if not isinstance(resource, OcfSpec):
        return resource
    by = promoted.get(f"{group}/{resource.name}", 0)
    options = msgspec.structs.replace(resource.options, clone_max=nodes, promoted_max=by)
    return msgspec.structs.replace(resource, options=options)


def _with_instances(group: GroupSpec, instances: Mapping[str, InstanceSpec]) -> GroupSpec:
    if not any(isinstance(resource, PromoteSpec) for resource in group.resources):
        return group
    return replace(group, resources=tuple(_with_instance(resource, instances) for resource in group.resources))


def _with_instance(resource: ResourceSpec, instances: Mapping[str, InstanceSpec]) -> ResourceSpec:
    if not isinstance(resource, PromoteSpec):
        return resource
    options = msgspec.structs.replace(resource.options, instance=instances.get(resource.options.of))
    return msgspec.structs.replace(resource, options=options)
