"""What `hactl simulate` needs of etcd and of files. Heavy."""

from __future__ import annotations

from pathlib import Path

from hactl.cli.common import BAD_INPUT, FAILED, CliError
from hactl.cli.etcd_backend import EtcdBackend
from hactl.config.load import load_cluster
from hactl.status.simulate import Outcome, Supposed, simulate, with_names_checked


def outcome_of(
    etcd: EtcdBackend, kill: tuple[str, ...], standby: tuple[str, ...], fail: tuple[str, ...], file: Path | None
) -> Outcome:
    """What would happen, by what etcd holds; where that is away, by what this node knew last. Raises CliError."""
    view, cluster, takeovers = etcd.for_simulation()
    if cluster is None:
        raise CliError("the cluster has no configuration: `hactl config apply FILE`", FAILED)
    supposed = Supposed(kill, standby, fail, load_cluster(file) if file is not None else None)
    if problems := with_names_checked(cluster, supposed):
        raise CliError("; ".join(problems), BAD_INPUT)
    return simulate(cluster, view, supposed, takeovers)
