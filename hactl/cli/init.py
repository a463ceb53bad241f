"""`hactl daemon`, `hactl init`, `hactl recover`: how a node, and a cluster, begins."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from hactl.cli.checked import SkipHaproxy, usable, warn_of_machine_id
from hactl.cli.common import (
    BAD_INPUT,
    CliError,
    confirmed,
    open_store,
    operator_name,
    refusals,
    say,
    settings,
    settings_path,
    tell,
)
from hactl.cli.options import ConfigOption, Yes

LOOK_S = 2.0


def daemon(config: ConfigOption = None) -> None:
    """Run this node's daemon in the foreground, as systemd does."""
    import hactl.daemon.main  # noqa: PLC0415 - heavy

    raise typer.Exit(hactl.daemon.main.run(settings_path(config)))


def init(
    cluster_yaml: Annotated[Path, typer.Argument(help="The cluster's configuration.")],
    skip_haproxy: SkipHaproxy = False,
    accept_etcd: Annotated[
        bool, typer.Option("--accept-etcd", help="Do it although an endpoint of etcd does not answer now.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Create a new cluster in etcd with this configuration. Refused if the cluster exists already, and if the endpoints
    in node.toml are not members of one and the same etcd."""
    from hactl.admin import identity  # noqa: PLC0415
    from hactl.admin.config import first_document  # noqa: PLC0415
    from hactl.admin.etcd.fitness import check_etcd  # noqa: PLC0415
    from hactl.config.cluster_key import read_key  # noqa: PLC0415 - heavy

    node = settings(config)
    spec = usable(cluster_yaml, node, skip_haproxy=skip_haproxy).spec
    if spec.name != node.cluster:
        problem = f'{cluster_yaml}: it is of cluster `{spec.name}`, and node.toml says `cluster = "{node.cluster}"`'
        raise CliError(f"{problem}; make them the same", BAD_INPUT)
    warn_of_machine_id(node)
    if node.node not in [known.name for known in spec.nodes]:
        tell(f"warning: this node, `{node.node}`, is none of the nodes in {cluster_yaml}")
    with refusals(), closing(open_store(node)) as store:
        in_doubt = "; to begin all the same: `--accept-etcd`"
        check_etcd(store.look(LOOK_S), node, spec, tell, accept=accept_etcd, in_doubt=in_doubt)
        document = first_document(spec, by=operator_name(node), key=read_key(Path(node.cluster_key)))
        identity.init(store, spec.name, document, node.state_dir)
    say(f"cluster {spec.name} begun: start `hactl daemon` on every node, then see `hactl status`")


def recover(
    cluster_yaml: Annotated[
        Path | None, typer.Argument(help="The configuration, if the store has lost its own.")
    ] = None,
    yes: Yes = False,
    config: ConfigOption = None,
) -> None:
    """Begin anew after etcd was restored from a backup, wiped, or lost.

    The store gets a new generation. The cluster assumes that each node still runs its old resources, until the node
    reports that it has stopped them, or you confirm it (`hactl fence confirm`), or, for groups with `fencing: lease`, a
    lease has passed.
    """
    from hactl.cli.recovery import Recovery  # noqa: PLC0415 - heavy

    node = settings(config)
    with closing(Recovery(node, cluster_yaml)) as recovery:
        for line in recovery.explanation():
            tell(line)
        if not yes and not confirmed("Begin anew?"):
            raise CliError("not confirmed: nothing was done")
        generation = recovery.carry_out(operator_name(node))
    say(f"cluster {node.cluster} begun anew, generation {generation}: see `hactl status`")
