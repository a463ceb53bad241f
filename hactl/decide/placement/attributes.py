"""What expressions of groups ask for: a node's attributes, its name, and how its health checks stand. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from election.reading import ReadView
from election.records import CheckReport
from hactl.decide.node_reports import current_report
from hactl.decide.placement.expression import Attributes, ExpressionError, Value, parse
from hactl.model.cluster import NodeSpec

Checks = Mapping[str, CheckReport]
NO_CHECKS: Checks = {}


def checks_of(view: ReadView, node: str) -> Checks:
    """The health checks that a node reports; none once its session has ended."""
    report = current_report(view, node)
    return report.checks if report is not None else NO_CHECKS


def attributes_of(node: NodeSpec, passing: Mapping[str, bool]) -> Attributes:
    """Its attributes; `passing`: its health checks. A check of the name of an attribute hides that."""
    named: dict[str, Value] = {"node": node.name, **dict(node.attributes)}
    return named | dict(passing)


def fulfils(expression: str, attributes: Attributes) -> bool:
    """Whether the attributes fulfil the expression; an empty one, and one that cannot be read (a configuration with one
    is refused), always hold."""
    if not expression:
        return True
    try:
        return parse(expression).holds(attributes)
    except ExpressionError:
        return True


def asks_for(expression: str, names: frozenset[str]) -> bool:
    """Whether the expression asks for one of these."""
    try:
        return bool(expression) and not names.isdisjoint(parse(expression).names)
    except ExpressionError:
        return False
