"""Which of its instances a group promotes (docs/promotable.md). Pure.

A group that promotes an instance is exclusive in every way. On which node it starts is decided by scores: how much each
instance has of what the promoted one has written. They count only when they were asked after everyone who may have been
promoted is safe: from then on no instance gets anything new. The best of those that may run the group takes it; no
other one does, however long the best takes, as that would lose what it alone has.

So an instance is promoted once in an ownership. One that has died, and was started again, may have lost what it had:
its group is released, and the scores say which instance is promoted next.
"""

from __future__ import annotations

from election.clock import owner_elapsed
from election.records import Ownership
from election.view import Versioned
from hactl.decide.local_group import LocalGroup
from hactl.decide.placement.instances import said_of
from hactl.decide.placement.plan import Choice
from hactl.decide.state import NodeState, Out
from hactl.model.events import Acted
from hactl.model.resources import PromoteSpec

# A score that was asked so long ago is asked anew while the group has no owner, in ms.
ASK_AGAIN_MS = 2_000.0


def not_yet(state: NodeState, run: LocalGroup, observed: Versioned[Ownership] | None, out: Out) -> str:
    """Why this node may not take the group now, though everyone who may have it is safe; empty: it may. A group that
    promotes nothing always may."""
    if not run.spec.promotes:
        return ""
    revision = observed.mod_revision if observed is not None else 0
    _ask(run, revision, out)
    if run.score.of != revision:
        return "its instance here is asked how good it is"
    if run.score.value is None:
        return "its instance here may not be promoted"
    return _waits_for_others(state, run, revision)


def not_here(run: LocalGroup) -> bool:
    """Whether the instance here was asked, and may not be promoted."""
    return bool(run.spec.promotes) and run.score.of >= 0 and run.score.value is None


def better(state: NodeState, run: LocalGroup, observed: Versioned[Ownership]) -> str:
    """Which other node has a better instance, by scores of this ownership; empty: none is known to."""
    if not run.spec.promotes or run.score.of != observed.mod_revision:
        return ""
    mine = run.score.value
    for node, score in _others(state, run, observed.mod_revision):
        if score is not None and (mine is None or score > mine):
            return _words(node, score, mine)
    return ""


def lost(run: LocalGroup, own: Ownership) -> str:
    """Why a group that this node owns is to be released: its instance was promoted in this ownership, and is not any
    more. Empty: it stays."""
    if not run.spec.promotes or run.acting or run.score.counts_for == own.epoch:
        return ""
    gone = next((name for name in _roles(run).values() if run.health.get(name) == "stopped"), "")
    return f"{gone}: the instance here is not promoted any more" if gone else ""


def rank(state: NodeState, run: LocalGroup, choice: Choice) -> int | None:
    """This node's turn: of those that are as good, as placement has them."""
    if not run.spec.promotes:
        return choice.rank(state.node)
    behind = {
        node for node, score in _others(state, run, run.score.of) if score is None or score < (run.score.value or 0)
    }
    able = [node for node in choice.candidates if node not in behind]
    return able.index(state.node) if state.node in able else None


def scored(run: LocalGroup, name: str, event: Acted) -> None:
    """An action on resource `name` has ended: perhaps its promotion, perhaps the one that asks for its score."""
    action = run.acting[name][1]
    if action == "start" and event.ok and name in _roles(run).values():
        run.score.counts_for = 0
    if run.score.asking is None or run.score.asking[0] != event.id:
        return
    run.score.value, run.score.of = event.score if event.ok else None, run.score.asking[1]
    run.score.asking = None


def _ask(run: LocalGroup, revision: int, out: Out) -> None:
    """Ask the instance here, unless that was done lately."""
    score, now = run.score, out.now
    if score.asking is not None and score.asking[0] not in {number for number, _ in run.acting.values()}:
        score.asking = None  # another action took its place
    lately = score.at is not None and owner_elapsed(score.at, now) < ASK_AGAIN_MS
    if run.acting or score.asking is not None or (score.of == revision and lately):
        return
    index, name = next(iter(_roles(run).items()))
    out.act(run, index, "probe")
    score.asking, score.at = (run.acting[name][0], revision), now


def _roles(run: LocalGroup) -> dict[int, str]:
    """The promoted roles among its resources, by their index."""
    resources = enumerate(run.spec.resources)
    return {index: resource.name for index, resource in resources if isinstance(resource, PromoteSpec)}


def _waits_for_others(state: NodeState, run: LocalGroup, revision: int) -> str:
    known = dict(_others(state, run, revision))
    for node in state.choice(run.spec.name).candidates:
        if node == state.node:
            continue
        if node not in known:
            return f"{node} has not yet said how good its instance is"
        if (score := known[node]) is not None and run.score.value is not None and score > run.score.value:
            return _words(node, score, run.score.value)
    return ""


def _others(state: NodeState, run: LocalGroup, revision: int) -> list[tuple[str, int | None]]:
    """The other nodes that may run the group and have said, for this ownership, how good their instance is."""
    known = []
    for node in state.choice(run.spec.name).candidates:
        said = said_of(state.view, run.spec.name, node) if node != state.node else None
        if said is not None and said.get("score_of") == revision:
            known.append((node, said.get("score")))
    return known


def _words(node: str, score: int, mine: int | None) -> str:
    here = f"{mine} here" if mine is not None else "the one here may not be promoted"
    return f"the instance of {node} is better: its score is {score}, {here}"
