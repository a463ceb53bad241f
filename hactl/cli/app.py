"""The command line by typer: the tree of all commands. One file beside this for each family."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from hactl import __version__
from hactl.cli import (
    certs,
    cluster,
    config,
    etcd,
    explain,
    failover,
    fence,
    group,
    hook,
    importing,
    init,
    key,
    lab,
    maintenance,
    membership,
    node,
    preset,
    resource,
    service,
    setup,
    status,
    uninstall,
    wait,
)
from hactl.cli.common import CONFIG_ENV, say
from hactl.cli.fence_agents import agents, describe
from hactl.config.node import DEFAULT_PATH

app = typer.Typer(
    name="hactl",
    help="Manage a high-availability cluster. Exit status: 0 done, 1 failed or refused, 2 bad input, 3 not in time.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS = (
    status.status,
    status.events,
    status.timeline,
    failover.failover,
    wait.wait,
    explain.explain,
    explain.simulate,
    init.daemon,
    init.init,
    init.recover,
    uninstall.uninstall,
)
_FENCING = (fence.node, fence.status, fence.history, fence.test, node.confirm, agents, describe)
_CONFIG = (config.check, config.apply, config.sign, config.render, config.diff)
_NODE = (
    node.standby,
    node.online,
    node.show,
    membership.add,
    membership.remove,
    membership.replace,
    membership.rename,
)
_GROUP = (
    group.stop,
    group.start,
    group.restart,
    maintenance.unmanage,
    maintenance.manage,
    group.ban,
    group.clear,
    group.cleanup,
)
_SETUP = "Set up a cluster: `hactl setup --cluster NAME n1=ADDRESS n2=ADDRESS n3=ADDRESS`."
_FAMILIES: dict[str, tuple[str, tuple[Callable[..., None], ...]]] = {
    "setup": (_SETUP, (setup.cluster, setup.join)),
    "cluster": ("Reboot the nodes one after the other.", (cluster.rolling_reboot,)),
    "node": ("Take a node out of use, and put it back; add, remove, replace, rename one.", _NODE),
    "fence": ("Fence a node (`hactl fence NODE`); show dead sessions; test the fence devices.", _FENCING),
    "group": (
        "Stop, start, restart a group; leave it alone; keep it off a node; report that it is repaired.",
        _GROUP,
    ),
    "maintenance": (
        "Leave everything, a group or a node alone while you work.",
        (maintenance.on, maintenance.off),
    ),
    "hook": ("Look at the hooks, and test one.", (hook.list_hooks, hook.test)),
    "resource": ("The OCF resource agents of this machine.", (resource.agents, resource.describe)),
    "service": ("Take a server out of a service, and put it back.", (service.drain, service.undrain)),
    "config": ("The cluster's configuration.", _CONFIG),
    "etcd": (
        "Look after etcd: its members, snapshots, and room.",
        (etcd.status, etcd.snapshot, etcd.restore, etcd.defrag),
    ),
    "import": ("Turn other programs' configurations into cluster.yaml.", (importing.haproxy,)),
    "preset": ("Ready-made settings for known services.", (preset.list_presets, preset.show)),
    "certs": ("Certificates of etcd and of its users.", (certs.show, certs.renew)),
    "key": ("The cluster's key, which signs datagrams and the configuration.", (key.create,)),
}
_GROUPS = {"fence": fence.FenceGroup, "setup": setup.SetupGroup}

for command in _COMMANDS:
    app.command()(command)
app.command(context_settings=lab.PASSED_ON, add_help_option=False)(lab.lab)
for name, (text, commands) in _FAMILIES.items():
    family = typer.Typer(cls=_GROUPS.get(name, TyperGroup), no_args_is_help=name != "setup", help=text)
    for command in commands:
        family.command(command.__name__.removesuffix("_presets").removesuffix("_hooks").replace("_", "-"))(command)
    app.add_typer(family, name=name)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"hactl {__version__}")
        raise typer.Exit


@app.callback()
def top(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="NODE_TOML",
            envvar=CONFIG_ENV,
            help=f"The file with this node's settings. Default: {DEFAULT_PATH}. It may also follow the command.",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """See `help` of the app."""
    if config is not None:
        os.environ[CONFIG_ENV] = str(config)
