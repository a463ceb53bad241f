"""Where a group should run, as configured (docs/placement.md). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from hactl.model.options import LATER, Options


class Relation(Options, frozen=True):
    """The relation to another group. `must`: without it the group does not run; else it is a preference."""

    group: str
    must: bool = True


class Requirement(Options, frozen=True):
    """A service for which the HAProxy of the group's node is to answer. `must`: where it does not, the group does not
    start while another node is well; without: other nodes come first."""

    service: str
    must: bool = True


@dataclass(frozen=True, slots=True)
class Placing:
    """`weights`: of nodes, by name (empty: each of the group's `nodes` is better than the next). `never`: nodes that
    may not run it. `where`: an expression that a node must fulfil; `prefers`: one that it should. `together_with`,
    `apart_from`: groups on whose node it runs, or does not; `after`: groups that run before it starts. `requires`:
    services for which the HAProxy of its node answers. `needs`: of a node's capacity. `spread`: groups of the same word
    are spread over the nodes. `priority`: where not all fit, higher ones run. `failback`: whether it goes back to a
    node whose weight is higher by more than `stickiness`: `never`, `immediately`, or within this time of the day, by
    UTC (`02:00-04:30`)."""

    weights: tuple[tuple[str, int], ...] = ()
    never: tuple[str, ...] = ()
    where: str = ""
    prefers: str = ""
    together_with: tuple[Relation, ...] = ()
    apart_from: tuple[Relation, ...] = ()
    after: tuple[Relation, ...] = ()
    needs: tuple[tuple[str, float], ...] = ()
    spread: str = ""
    priority: int = 0
    failback: str = "never"
    stickiness: int = 0
    requires: tuple[Requirement, ...] = field(default=(), metadata=LATER)
