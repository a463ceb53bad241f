"""Load on the VIP's HTTP service: wrk, and beside it the lab's client, which counts every failure there is.

wrk keeps connections open and asks over each again soon after it was answered; the client opens a new connection for
every request.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.common import TARGETS, Cluster, Run
from hactl.lab import spawn
from hactl.lab.cgroup import Cgroup
from hactl.lab.spec import CLIENT
from hactl.lab.system import LabError

# Enough that some request is under way at any moment, and so few that HAProxy has its share of two processors.
CONNECTIONS, PAUSE_MS = 16, 20
INTERVAL_MS = 10.0
BEFORE_S = 1.0
_LONGEST_S = 3600
_REQUESTS = re.compile(r"(\d+) requests in")
_ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
_BAD = re.compile(r"Non-2xx or 3xx responses: (\d+)")


@contextlib.contextmanager
def load(cluster: Cluster, run: Run) -> Iterator[None]:
    """While the body runs. Figures: `requests`, `failed` of wrk's, `asked`, `not answered` of the client's."""
    with cluster.lab.probe(TARGETS["vip"], interval_ms=INTERVAL_MS) as probe, _wrk(cluster, run):
        time.sleep(BEFORE_S)
        yield
        time.sleep(BEFORE_S)
    if probe.result is None:
        raise LabError("the client saw nothing")
    seen = probe.result
    run.figures |= {"asked": seen.good + seen.failed, "not answered": seen.failed, "silent": round(seen.outage_ms, 1)}
    run.more["client"] = seen.summary()


@contextlib.contextmanager
def _wrk(cluster: Cluster, run: Run) -> Iterator[None]:
    lab = cluster.lab.spec
    script = lab.path / "pause.lua"
    script.write_text(f"function delay() return {PAUSE_MS} end\n")
    argv = ["wrk", "--script", str(script), "--threads", "1", "--connections", str(CONNECTIONS)]
    argv += ["--duration", f"{_LONGEST_S}s", "--timeout", "5s", f"http://{TARGETS['vip']}/"]
    group = Cgroup(Path(lab.cgroup)).child(CLIENT)
    command = spawn.attached(lab.namespace(CLIENT), group, argv)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            try:
                said, _ = process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise LabError("wrk does not end") from None
    requests, errors, bad = _REQUESTS.search(said), _ERRORS.search(said), _BAD.search(said)
    if requests is None:
        raise LabError(f"wrk did not measure: {said.strip()}")
    kinds = dict(
        zip(("connect", "read", "write", "timeout"), map(int, errors.groups() if errors else "0000"), strict=True)
    )
    kinds["answer"] = int(bad[1]) if bad else 0
    run.figures |= {"requests": int(requests[1]), "failed": sum(kinds.values())}
    run.more["wrk failed"] = kinds
