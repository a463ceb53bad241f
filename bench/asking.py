"""The client of a run: it asks all the while, and its results become the run's figures."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator

from bench.common import TARGETS, Cluster, Run
from hactl.lab.client import Probe, Result
from hactl.lab.system import LabError

INTERVAL_MS = 10.0
BEFORE_S, AFTER_S = 0.5, 0.5
# The fault falls at a random moment of the heartbeats, etcd's and hactl's.
CHANCE_S = 0.5


@contextlib.contextmanager
def asking(cluster: Cluster, run: Run, *groups: str, interval_ms: float = INTERVAL_MS) -> Iterator[dict[str, Result]]:
    """The client asks these groups while the body runs, a little before and a little longer. Afterwards the results
    are in the mapping given to the body, and the figures `GROUP` (outage in ms) and `GROUP failed` in the run."""
    results: dict[str, Result] = {}
    with contextlib.ExitStack() as stack:
        probes = {
            group: stack.enter_context(cluster.lab.probe(TARGETS[group], interval_ms=interval_ms)) for group in groups
        }
        time.sleep(BEFORE_S + random.uniform(0.0, CHANCE_S))
        yield results
        time.sleep(AFTER_S)
    results |= {group: _result(probe) for group, probe in probes.items()}
    for group, seen in results.items():
        run.figures |= {group: round(seen.outage_ms, 1), f"{group} failed": seen.failed}
    run.more["client"] = {group: seen.summary() for group, seen in results.items()}


def _result(probe: Probe) -> Result:
    if probe.result is None:
        raise LabError("the client saw nothing")
    return probe.result
