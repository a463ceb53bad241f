"""From a resource's definition to the code that drives it."""

from __future__ import annotations

from pathlib import Path

from hactl.linux.run import find_command
from hactl.model.probes import CommandCheck, HealthProbe, HttpCheck
from hactl.model.resources import (
    ExecSpec,
    ManifestSpec,
    MountSpec,
    OcfSpec,
    PromoteSpec,
    ResourceSpec,
    SystemdSpec,
    VipSpec,
)
from hactl.resources.base import NodeContext, Resource, ResourceError


def make(spec: ResourceSpec, context: NodeContext, group: str = "") -> Resource:
    """The resource of this definition on this node. Raises ResourceError when its options are wrong.

    `group`: the group it belongs to, within which its name is unique. Give it wherever there are groups: the
    cgroup, the record and the log of a supervised process are named after both.
    A kind's code is imported when it is first used: the libraries behind `vip` and `systemd` are large. The kind
    `haproxy` is not made here but by the daemon, which renders its configuration.
    """
    match spec:
        case VipSpec():
            from hactl.resources.vip import Vip  # noqa: PLC0415

            return Vip(spec, context)
        case SystemdSpec():
            from hactl.resources.systemd import Unit  # noqa: PLC0415

            return Unit(spec, context)
        case ExecSpec():
            from hactl.resources import exec as exec_kind  # noqa: PLC0415

            return exec_kind.make(spec, context, group)
        case OcfSpec():
            from hactl.resources.ocf.resource import Ocf  # noqa: PLC0415

            return Ocf(spec, context, group)
        case ManifestSpec():
            from hactl.resources.manifest import Manifest  # noqa: PLC0415

            return Manifest(spec, context)
        case MountSpec():
            from hactl.resources.mount import Mount  # noqa: PLC0415

            return Mount(spec, context, group)
        case PromoteSpec():
            from hactl.resources.promote import Promote  # noqa: PLC0415

            return Promote(spec, context, group, lambda instance, its_group: make(instance, context, its_group))
    raise ResourceError(f"{spec.name}: kind {spec.kind} is made by the daemon")


def check_options(spec: ResourceSpec, units: dict[str, str] | None = None) -> list[str]:
    """The problems of a resource's options on this very node (commands, files, networks, units), in the operator's
    words; for `hactl config check`. `units`: the units of the configuration so far, by the resource that has each; a
    mapping that is kept from one resource to the next."""
    problems = _kind_problems(spec, {} if units is None else units)
    return [*problems, *(problem for probe in spec.probes for problem in _probe_problems(spec, probe))]


def _probe_problems(spec: ResourceSpec, probe: HealthProbe) -> list[str]:
    match probe.check:
        case CommandCheck(command=command):
            problem = find_command(command[0])
        case HttpCheck(ca=str(ca)):
            problem = None if Path(ca).is_file() else f"there is no file {ca}"
        case _:
            problem = None
    return [f"{spec.name}: probe {probe.check.words()}: {problem}"] if problem else []


def _kind_problems(spec: ResourceSpec, units: dict[str, str]) -> list[str]:
    match spec:
        case VipSpec():
            from hactl.resources.vip import interface  # noqa: PLC0415

            return interface.check_options(spec)
        case ExecSpec():
            from hactl.resources import exec as exec_kind  # noqa: PLC0415

            return exec_kind.check_options(spec)
        case ManifestSpec():
            from hactl.resources import manifest  # noqa: PLC0415

            return manifest.check_options(spec)
        case MountSpec():
            from hactl.resources.mount import here  # noqa: PLC0415

            return here.check_options(spec)
        case PromoteSpec():
            from hactl.resources.promote.commands import missing_commands  # noqa: PLC0415

            return [f"{spec.name}: {problem}" for problem in missing_commands(spec.options)]
        case SystemdSpec():
            from hactl.resources.systemd import check  # noqa: PLC0415

            return check.problems(spec, units)
    # HAProxy's options have nothing of a node. OCF agents are asked by `hactl.config.rules.ocf`, once for all their
    # resources.
    return []


def doubtful_options(spec: ResourceSpec) -> list[str]:
    """Options of a resource that can work on this very node, and are seldom meant."""
    if isinstance(spec, VipSpec):
        from hactl.resources.vip import interface  # noqa: PLC0415

        return interface.doubtful_options(spec)
    if isinstance(spec, MountSpec):
        from hactl.resources.mount import here  # noqa: PLC0415

        return here.doubtful_options(spec)
    if isinstance(spec, SystemdSpec):
        from hactl.resources.systemd import check  # noqa: PLC0415

        return check.doubts(spec)
    return []
