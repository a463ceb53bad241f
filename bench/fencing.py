"""`make bench-fencing`: how long a client waits when a silent node is switched off instead of waited for.

`python -m bench.fencing [--runs N] [--only WORD…] [--json FILE]`. Exit status as `bench.failover`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import product

from bench import failures, fenced
from bench.common import Cluster, Profile, Run
from bench.failures import Leader
from bench.report import Outcome
from bench.runner import command
from bench.scenarios import Figure, Scenario

Lose = Callable[[Cluster, Leader], Run]

_ASKED = {"default": 1800.0, "fast": 600.0}
_SERVICE = Figure("service", "service silent")
_NOBODY = Figure("fenced", "nodes fenced", 0.0, unit="")


def _lost(profile: Profile, name: str, title: str, play: Lose, *, fencing: bool, leader: Leader) -> Scenario:
    """The active node is lost, in a cluster with a fence device or without. Where it leads etcd no figure is asked:
    there is no store while another leader is elected, and a node that missed its own renewals suspects nobody."""
    leads = leader == "here"
    silent = Figure("vip", "VIP silent", _ASKED[profile] if fencing and not leads else None, "median")
    # A frozen node goes on later: without a device two run then, for as long as its guard takes to stop it.
    goes_on = name == "frozen" and not fencing
    figures = (silent, _SERVICE, *((Figure("both", "on two nodes"),) if goes_on else ()))
    return Scenario(
        f"{name}-{'fenced' if fencing else 'lease'}-{'leader-' if leads else ''}{profile}",
        f"{title}{' and leads etcd' if leads else ''}, {'a fence device' if fencing else 'no device'}",
        profile,
        lambda cluster, _: play(cluster, leader),
        figures,
        fencing=fencing,
        judged=not goes_on,
    )


def _nobody(profile: Profile) -> list[Scenario]:
    """Faults that get nobody fenced."""
    back = Figure("back", "all runs again after")
    return [
        Scenario(
            f"kill-daemon-{profile}", "kill -9 of the daemon", profile, fenced.kill_daemon,
            (_NOBODY, Figure("vip", "VIP silent"), _SERVICE), fencing=True,
        ),
        Scenario(
            f"etcd-away-{profile}", "all of etcd stopped for 30 s", profile, fenced.etcd_away, (_NOBODY, back),
            runs=1, fencing=True,
        ),
    ]  # fmt: skip


def scenarios() -> list[Scenario]:
    """All, by the lab they need."""
    chosen: list[Scenario] = []
    profiles: tuple[Profile, ...] = ("default", "fast")
    leaders: tuple[Leader, ...] = ("elsewhere", "here")
    for profile in profiles:
        for fencing, leader in product((False, True), leaders):
            chosen += [
                _lost(
                    profile, "power-cut", "active node loses power", failures.power_cut, fencing=fencing, leader=leader
                ),
                _lost(profile, "frozen", "active node is frozen", fenced.frozen, fencing=fencing, leader=leader),
            ]
        chosen += _nobody(profile)
    return chosen


def compared(outcomes: list[Outcome]) -> str:
    """Whether it is faster with a device than without."""
    medians = {outcome.scenario.name: row.spread.median for outcome in outcomes for row in outcome.rows()
               if row.figure.key == "vip" and row.spread}  # fmt: skip
    lines = []
    for name, median in medians.items():
        lease = medians.get(name.replace("-fenced-", "-lease-"))
        if "-fenced-" in name and lease is not None:
            said = "ok" if median < lease else "MISSED"
            lines.append(f"{said}  {name}: {median:.0f} ms, without a device {lease:.0f} ms\n")
    return "".join(lines)


if __name__ == "__main__":
    text = "how long a client waits when a silent node is switched off"
    sys.exit(command("make bench-fencing", text, scenarios(), compared))
