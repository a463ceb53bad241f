"""Where a group should run: the settings of placement (docs/placement.md)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, model_validator

from hactl.config.fields import Name, Part, Strict, setting, wrong
from hactl.decide.placement.expression import ExpressionError, parse
from hactl.decide.placement.time_window import window
from hactl.model import placing as of

_PLACING = of.Placing()


def _expression(value: str) -> str:
    try:
        if value:
            parse(value)
    except ExpressionError as error:
        hint = "such as `rack == a and memory >= 64`, `not ssd`, `site in (north, south)`"
        raise wrong(f"`{value}` is no expression: {error}", hint) from None
    return value


def _amount(value: float) -> float:
    if not 0 <= value < 1e15:
        raise wrong(f"`{value}` is no amount", "give a number of 0 or more")
    return float(value)


def _failback(value: str) -> str:
    if value not in ("never", "immediately") and window(value) is None:
        raise wrong(f"`{value}` is no failback", "write `never`, `immediately` or a time by UTC such as `02:00-04:30`")
    return value


Failback = Annotated[str, AfterValidator(_failback)]
Expression = Annotated[str, AfterValidator(_expression)]
Amount = Annotated[float, AfterValidator(_amount)]
Attribute = str | bool | int | float


class Relation(Part):
    """Another group that this one goes by. In place of the mapping the group's name alone: then it must."""

    OF: ClassVar[Any] = of.Relation
    SHORT: ClassVar[bool] = True

    group: Name = setting("the other group", examples=["database"])
    must: bool = setting("`false`: it should, and runs all the same where it cannot", of.Relation("").must)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        return {"group": given} if isinstance(given, str) else given


class Requirement(Part):
    """A service that a group requires. In place of the mapping the service's name alone: then it must."""

    OF: ClassVar[Any] = of.Requirement
    SHORT: ClassVar[bool] = True

    service: Name = setting("the service", examples=["keystone"])
    must: bool = setting(
        "`false`: where it is not served, the group may start all the same, but other nodes come first",
        of.Requirement("").must,
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        return {"service": given} if isinstance(given, str) else given


class Placed(Strict):
    """The settings of a group that say where it should run."""

    weights: dict[Name, int] = setting(
        "how good each node is for it, higher is better; without one, 0. Without any, each of `nodes` is better than "
        "the next",
        {},
        examples=[{"n1": 100, "n2": 50}],
    )
    never: list[Name] = setting("nodes that may never run it", [])
    where: Expression = setting(
        "an expression on nodes' `attributes`: others may not run it", _PLACING.where, examples=["rack == a and ssd"]
    )
    prefers: Expression = setting("such an expression: others are chosen last", _PLACING.prefers)
    together_with: list[Relation] = setting("groups on whose node it runs", [], examples=[["entry"]])
    apart_from: list[Relation] = setting("groups on whose node it does not run", [])
    after: list[Relation] = setting(
        "groups that run before it starts, and that stop after it; must: it also stops when one of them stops", []
    )
    requires: list[Requirement] = setting(
        "services for which the HAProxy of its node must answer: that accepts connections for it, and finds a server "
        "up. Where it does not, the group leaves for a node where it does, and does not start while there is one",
        [],
        examples=[["keystone"]],
    )
    needs: dict[Name, Amount] = setting("how much it takes of its node's `capacity`", {}, examples=[{"memory": 16}])
    spread: str = setting("groups with the same word here are spread over the nodes", _PLACING.spread)
    priority: int = setting("where not all groups fit, those with a higher one run", _PLACING.priority)
    failback: Failback = setting(
        "whether it goes back, by a planned move, when a node with a higher weight is well again: `never`, "
        "`immediately`, or within a time of the day, by UTC",
        _PLACING.failback,
        examples=["02:00-04:30"],
    )
    stickiness: int = setting(
        "with `failback: immediately`: by how much more than this the other node's weight must be higher",
        _PLACING.stickiness,
        ge=0,
    )

    def placing(self) -> of.Placing:
        """That of the model."""
        return of.Placing(
            weights=tuple(self.weights.items()),
            never=tuple(self.never),
            where=self.where,
            prefers=self.prefers,
            together_with=tuple(relation.made() for relation in self.together_with),
            apart_from=tuple(relation.made() for relation in self.apart_from),
            after=tuple(relation.made() for relation in self.after),
            requires=tuple(requirement.made() for requirement in self.requires),
            needs=tuple(self.needs.items()),
            spread=self.spread,
            priority=self.priority,
            failback=self.failback,
            stickiness=self.stickiness,
        )


def placing_settings(placing: of.Placing) -> dict[str, Any]:
    """Placing in the words of cluster.yaml, without what is as by default."""
    written: dict[str, Any] = {"weights": dict(placing.weights), "needs": dict(placing.needs)}
    for name in ("together_with", "apart_from", "after"):
        written[name] = [{"group": one.group, "must": one.must} for one in getattr(placing, name)]
    written["requires"] = [{"service": one.service, "must": one.must} for one in placing.requires]
    for name in ("never", "where", "prefers", "spread", "priority", "failback", "stickiness"):
        value = getattr(placing, name)
        if value != getattr(_PLACING, name):
            written[name] = list(value) if isinstance(value, tuple) else value
    return {name: value for name, value in written.items() if value not in ({}, [])}
