"""`make bench-haproxy`: what a client of HAProxy's notices when it is changed, and how long a change takes.

`python -m bench.haproxy [--runs N] [--only WORD…] [--json FILE]`. Exit status as `bench.failover`.
"""

from __future__ import annotations

import sys

from bench import haproxy_runs, haproxy_writer
from bench.runner import command
from bench.scenarios import Figure, Scenario

_LOAD = (
    Figure("failed", "wrk: failed", 0.0, unit=""),
    Figure("requests", "wrk: requests", unit=""),
    Figure("not answered", "client: failed", 0.0, unit=""),
    Figure("asked", "client: requests", unit=""),
    Figure("silent", "client: silent"),
)
_STEPS = (
    Figure("runtime", "by commands", unit="changes"),
    Figure("reload", "by a reload", unit="changes"),
    Figure("in force", "until all nodes have it"),
)
_MANY = (
    Figure("render", "render", 100.0, "median"),
    Figure("haproxy -c", "haproxy -c"),
    Figure("weight", "drain of one server", 150.0, "median"),
    Figure("server out", "one server out", 150.0, "median"),
    Figure("node", "a node not live: 200 weights"),
    Figure("weight: stall", "loop without a turn"),
    Figure("reload", "the same by a reload"),
    Figure("reload: stall", "loop without a turn"),
)
_SWITCH = (
    Figure("elected", "writer: elected"),
    Figure("backup", "backup, checks as built in"),
    Figure("backup 1s", "backup, checks every 1 s"),
    Figure("old after new", "elected: old after new", 0.0, unit="writes"),
)


def scenarios() -> list[Scenario]:
    """All, by the lab they need."""
    return [
        Scenario("changes", "100 changes under load", "default", haproxy_runs.changes,
                 (*_LOAD, *_STEPS)),
        Scenario("drain", "a server drained, taken out, put back", "default", haproxy_runs.drain, _LOAD),
        Scenario("many", "200 services x 3 servers", "default", haproxy_runs.many, _MANY),
        Scenario("writer-move-default", "writer switch, planned", "default", haproxy_writer.move, _SWITCH),
        Scenario("writer-cut-default", "writer switch, power cut", "default", haproxy_writer.cut, _SWITCH, moved=True),
        Scenario("writer-move-fast", "writer switch, planned", "fast", haproxy_writer.move, _SWITCH),
        Scenario("writer-cut-fast", "writer switch, power cut", "fast", haproxy_writer.cut, _SWITCH, moved=True),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(command("make bench-haproxy", "what a change of HAProxy's configuration costs", scenarios()))
