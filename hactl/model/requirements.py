"""The services that groups require, and the checks of nodes that follow. Pure.

Such a check passes on a node while its HAProxy answers for the service. A failing one means the same as any other
failing health check (hactl.decide.node_health).
"""

from __future__ import annotations

from collections import defaultdict

from hactl.model.cluster import ClusterSpec
from hactl.model.health import CheckSpec, Then
from hactl.model.service import ServiceSpec

# No health check of an operator's can be called so: names have no spaces.
_PREFIX = "service "


def check_of(service: str) -> str:
    """The name of the check of a service."""
    return _PREFIX + service


def service_of(check: str) -> str:
    """The service that a check is about; "": it is another check."""
    return check.removeprefix(_PREFIX) if check.startswith(_PREFIX) else ""


def required_checks(cluster: ClusterSpec) -> tuple[CheckSpec, ...]:
    """The checks that follow from what groups require. For a service that some must have and others should there are
    two, of one name."""
    groups: defaultdict[tuple[str, Then], list[str]] = defaultdict(list)
    for group in cluster.groups:
        for requirement in group.placing.requires:
            groups[requirement.service, "unfit" if requirement.must else "last"].append(group.name)
    named = sorted(groups.items(), key=lambda entry: (entry[0][0], entry[0][1] != "unfit"))
    return tuple(CheckSpec(check_of(service), then=then, groups=tuple(names)) for (service, then), names in named)


def required_services(cluster: ClusterSpec) -> tuple[ServiceSpec, ...]:
    """The services that groups require, in the order of the configuration, without those that are disabled."""
    named = {requirement.service for group in cluster.groups for requirement in group.placing.requires}
    return tuple(service for service in cluster.services if service.name in named and service.options.enabled)
