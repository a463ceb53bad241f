"""The scenarios: their measurements, and the bounds asked of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from bench import failures, idle, moves
from bench.common import Cluster, Profile, Run
from hactl.lab.faults import Direction

Play = Callable[[Cluster, int], Run]


class Figure(NamedTuple):
    """A figure of the runs. `key`: its name in Run.figures; `asked`: the bound that it must keep, by the median or in
    every run (`max`); None: it is shown only."""

    key: str
    title: str
    asked: float | None = None
    judged: Literal["median", "max"] = "max"
    unit: str = "ms"


@dataclass(frozen=True, slots=True)
class Scenario:
    """`play` is given the number of the run, from 0. `runs`: how many, None: as many as were asked for. `moved`: the
    overlapping group is moved as planned, so two nodes may hold its address. `fencing`: in a cluster with a fence
    device, whose groups require it. `judged`: a broken promise counts as a violation here, too.
    """

    name: str
    title: str
    profile: Profile
    play: Play
    figures: tuple[Figure, ...]
    runs: int | None = None
    moved: bool = False
    fencing: bool = False
    judged: bool = True


_VIP, _SERVICE = Figure("vip", "VIP silent"), Figure("service", "service silent")


def _cut(profile: Profile, asked: float, leader: failures.Leader, title: str = "") -> Scenario:
    return Scenario(
        f"power-cut{'-leader' if leader == 'here' else ''}-{profile}",
        f"power cut of the active node{title}",
        profile,
        lambda cluster, _: failures.power_cut(cluster, leader),
        (Figure("vip", "VIP silent", asked, "median"), _SERVICE),
    )


def _idle(profile: Profile) -> Scenario:
    asked = profile == "default"
    figures = (
        Figure("daemon rss_mb", "daemon's memory", 70.0 if asked else None, unit="MiB"),
        Figure("daemon pss_mb", "of it its own", unit="MiB"),
        Figure("daemon cpu", "daemon's processor", 2.0 if asked else None, unit="%"),
        Figure("guard rss_mb", "guard's memory", unit="MiB"),
        Figure("guard cpu", "guard's processor", unit="%"),
    )
    return Scenario(
        f"idle-{profile}", "idle, the costliest node", profile, lambda cluster, _: idle.idle(cluster), figures, runs=1
    )


def _parted(profile: Profile, other: str, direction: Direction) -> Scenario:
    ways = {"both": "", "out": ", only what it sends", "in": ", only what it is sent"}
    whom = {"all": "all", "peers": "its peers", "etcd": "the others' etcd"}
    return Scenario(
        f"partition-{other}-{direction}-{profile}",
        f"active node parted from {whom[other]}{ways[direction]}",
        profile,
        lambda cluster, number: failures.partition(cluster, other, direction, number),
        (_VIP, _SERVICE),
    )


def _alike(profile: Profile) -> list[Scenario]:
    """The scenarios of either profile."""
    parted = (_parted(profile, other, "both") for other in ("all", "peers", "etcd"))
    return [*_moves(profile), *_failures(profile), *parted]


def _moves(profile: Profile) -> list[Scenario]:
    plain = partial(Scenario, profile=profile)
    return [
        plain(
            f"move-vip-{profile}",
            "planned move, overlap: true",
            play=moves.move_vip,
            figures=(Figure("vip failed", "failed requests", 0.0, unit=""), _VIP),
            moved=True,
        ),
        plain(
            f"move-service-{profile}",
            "planned move, ordinary group",
            play=moves.move_service,
            figures=(
                Figure("beyond", "beyond its own stop and start", 150.0),
                Figure("own", "its own stop and start"),
                _SERVICE,
            ),
        ),
    ]


def _failures(profile: Profile) -> list[Scenario]:
    plain = partial(Scenario, profile=profile)
    return [
        plain(
            f"kill-daemon-{profile}",
            "kill -9 of the daemon",
            play=lambda cluster, _: failures.kill_daemon(cluster),
            # With `fast` the next daemon has 0.9 s, which are not promised to be enough.
            figures=(
                Figure("failed", "failed requests", 0.0 if profile == "default" else None, unit=""),
                Figure("renewed", "the next one has renewed after"),
                _VIP,
                _SERVICE,
            ),
        ),
        plain(
            f"kill-haproxy-{profile}",
            "kill -9 of HAProxy, active node",
            play=lambda cluster, _: failures.kill_haproxy(cluster),
            figures=(Figure("vip", "VIP silent", 300.0),),
        ),
        plain(
            f"freeze-{profile}",
            "the active node's daemon is stopped",
            play=lambda cluster, _: failures.freeze_daemon(cluster),
            figures=(_VIP, _SERVICE),
        ),
        plain(
            f"starve-{profile}",
            "the active node's daemon gets no time",
            play=lambda cluster, _: failures.starve_daemon(cluster),
            figures=(_VIP, _SERVICE),
        ),
    ]


def scenarios() -> list[Scenario]:
    """All, by profile: a lab has one."""
    one_way: tuple[Direction, ...] = ("out", "in")
    return [
        _idle("default"),
        _cut("default", 4000.0, "any"),
        *_alike("default"),
        _idle("fast"),
        _cut("fast", 1400.0, "elsewhere"),
        _cut("fast", 1400.0, "here", ", which has etcd's leader"),
        *_alike("fast"),
        *(_parted("fast", other, way) for other in ("all", "peers", "etcd") for way in one_way),
    ]
