"""`hactl config …`: cluster.yaml checked, and put to use."""

from __future__ import annotations

import os
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from election.keys import Keys
from hactl.cli.checked import SkipHaproxy, haproxy_here, usable, warn_of_machine_id
from hactl.cli.common import BAD_INPUT, FAILED, CliError, open_store, operator_name, say, settings, settings_path, tell
from hactl.cli.completion import nodes
from hactl.cli.fence_agents import only_warnings
from hactl.cli.options import ConfigOption

if TYPE_CHECKING:
    from hactl.config.etcd_access import Weakness
    from hactl.config.node import NodeConfig

File = Annotated[Path, typer.Argument(metavar="FILE", help="The cluster's configuration.")]
OptionalFile = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="A cluster.yaml. Default: the configuration in use.")
]


def check(file: File, skip_haproxy: SkipHaproxy = False, config: ConfigOption = None) -> None:
    """Check a configuration: show its errors, or how long a failover takes with it. Changes nothing."""
    from hactl.admin.config import check_file  # noqa: PLC0415 - heavy
    from hactl.config.majority import known_members  # noqa: PLC0415
    from hactl.resources import factory  # noqa: PLC0415

    only_warnings()
    # Where this machine is a node, the settings that cannot work on it are reported, too.
    here = settings(config) if settings_path(config).exists() else None
    report = check_file(
        file,
        node=here.node if here else "",
        check_here=partial(factory.check_options, units={}) if here else None,
        doubt_here=factory.doubtful_options if here else None,
        has_watchdog=here is None or here.watchdog != "off",
        haproxy=haproxy_here(here, skip=skip_haproxy),
        endpoints=known_members(here.endpoints) if here else 0,
    )
    for line in report.lines:
        (say if report.ok else tell)(line)
    for weakness in _weaknesses(here, config) if here and report.ok else ():
        say(f"warning: {settings_path(config)}: {weakness.problem}; {weakness.hint}")
    if here:
        warn_of_machine_id(here)
    raise typer.Exit(0 if report.ok else BAD_INPUT)


def _weaknesses(here: NodeConfig, config: Path | None) -> list[Weakness]:
    """The weaknesses of this node's access to etcd."""
    from hactl.config.etcd_access import found_weak  # noqa: PLC0415 - few commands need it

    return found_weak(here, root=os.geteuid() == 0, node_toml=settings_path(config))


def apply(
    file: File,
    expect: Annotated[
        int | None,
        typer.Option("--expect", metavar="REVISION", help="Apply only if the configuration in use has this revision."),
    ] = None,
    skip_haproxy: SkipHaproxy = False,
    config: ConfigOption = None,
) -> None:
    """Apply a configuration: all daemons use it, without a restart."""
    from hactl.admin import config as commands  # noqa: PLC0415 - heavy
    from hactl.admin import event_log  # noqa: PLC0415
    from hactl.config.cluster_key import read_key  # noqa: PLC0415
    from hactl.daemon.parts.config_reader import serial_in_use  # noqa: PLC0415

    node = settings(config)
    loaded = usable(file, node, skip_haproxy=skip_haproxy)
    key = read_key(Path(node.cluster_key))
    with closing(open_store(node)) as store:
        keys, by = Keys.of(node.cluster), operator_name(node)
        used = serial_in_use(node.state_dir)
        done = commands.apply(store, keys, loaded.spec, by=by, key=key, expect_revision=expect, used=used)
        if done.ok and (done.changes or done.signed):
            event_log.note(store, keys, node.node, "config_applied", {"serial": done.serial, "by": by})
    if not done.ok:
        for reason in done.refused:
            tell(f"error: {reason}")
        tell(f"{file}: refused: nothing changed")
        raise typer.Exit(FAILED)
    for remark in done.remarks:
        tell(f"warning: {remark}")
    for change in done.changes:
        say(str(change))
    outcome = "in use" if done.changes else "signed; no setting changed" if done.signed else "nothing to change"
    say(f"configuration {done.serial} (revision {done.revision}): {outcome}")


def sign(config: ConfigOption = None) -> None:
    """Sign the configuration in use with the cluster's key (`hactl key create`).

    From then on a node with the key uses only signed configurations. Refused if the store holds another configuration
    than the one that this node uses.
    """
    from hactl.admin import config as commands  # noqa: PLC0415 - heavy
    from hactl.admin import event_log  # noqa: PLC0415
    from hactl.config.cluster_key import read_key  # noqa: PLC0415
    from hactl.daemon.parts.config_reader import digest_in_use  # noqa: PLC0415

    only_warnings()
    node = settings(config)
    key = read_key(Path(node.cluster_key))
    if key is None:
        raise CliError(f"there is no {node.cluster_key}: `hactl key create`, once for the cluster", BAD_INPUT)
    with closing(open_store(node)) as store:
        keys, by = Keys.of(node.cluster), operator_name(node)
        used = digest_in_use(node.state_dir)
        done = commands.sign_in_use(store, keys, node.cluster, used, by=by, key=key)
        if done.ok and done.signed:
            event_log.note(store, keys, node.node, "config_signed", {"serial": done.serial, "by": by})
    if not done.ok:
        raise CliError(f"{'; '.join(done.refused)}: nothing changed")
    say(f"configuration {done.serial} (revision {done.revision}): {'signed' if done.signed else 'is signed already'}")


def render(
    file: OptionalFile = None,
    node: Annotated[
        str,
        typer.Option("--node", metavar="NODE", help="The node's name. Default: this node.", autocompletion=nodes),
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Print the haproxy.cfg of a node.

    With FILE it is as if all nodes were live and every group ran on its first node; the store is not read. Without
    FILE it is that of the configuration in use and the cluster's present state.
    """
    from hactl.cli.balancer_file import rendered  # noqa: PLC0415 - heavy

    only_warnings()
    say(rendered(file, node, config).rstrip("\n"))


def diff(file: OptionalFile = None, config: ConfigOption = None) -> None:
    """Compare a configuration with the one in use: settings, and the haproxy.cfg of this node. Changes nothing.

    For each other node it says whether HAProxy runs with the haproxy.cfg of this configuration. Without FILE it
    compares the files with the configuration in use.
    """
    from hactl.cli.balancer_file import differences  # noqa: PLC0415 - heavy

    only_warnings()
    for line in differences(file, config):
        say(line)
