"""Whether a cluster may begin in this etcd."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from election.etcd.facts import EndpointFacts
from hactl.admin.errors import RefusedError
from hactl.config.etcd_admin import beside
from hactl.config.node import NodeConfig
from hactl.model.cluster import ClusterSpec
from hactl.status.etcd.judge import judge

# With these nobody can tell yet whether all endpoints are of one etcd.
_DOUBTFUL = ("endpoint_dead", "no_member")


def check_etcd(
    facts: Sequence[EndpointFacts],
    here: NodeConfig,
    spec: ClusterSpec,
    warn: Callable[[str], None],
    *,
    accept: bool = False,
    then: str = "",
    in_doubt: str = "",
) -> None:
    """Refuse an etcd that is not one cluster, or cannot be used; warn of one that is weak. `accept`: one of which not
    every endpoint answers is taken as it is. `then`, `in_doubt`: what helps after a repair, or where it is not known
    whether it is one cluster. Raises RefusedError."""
    for problem in judge(facts, beside(here, spec)).problems:
        text = f"{problem.text} -> {problem.todo}"
        if problem.level == "error":
            raise RefusedError(f"{text}{then}")
        if problem.code in _DOUBTFUL and not accept:
            raise RefusedError(f"{text}{in_doubt}")
        warn(f"{problem.level}: {text}")
