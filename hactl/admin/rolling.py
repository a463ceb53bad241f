"""Nodes out of use one after the other, each for a command: what comes next, by the status document. Pure.

A plan is a place on the way: the nodes that are left, and the phase of the first of them. It is kept on disk at every
change, so that whatever ends the command line, the way goes on from there. It goes no further on its own than the state
of the cluster allows: a node is taken out of use only while all is well, and the next one only once all is well again.

    standby -> empty -> command -> back -> well -> (the next node) standby
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from hactl.status.clone_words import about_clone

Phase = Literal["standby", "empty", "command", "back", "well"]
Document = Mapping[str, Any]

# A command that failed may have done its work: ssh reports the connection that the reboot cuts as a failure. So long
# its node may take to go.
GOES_WITHIN_S = 30.0
# So long all is to be well without a break before the next node is taken out of use.
WELL_FOR_S = 10.0
_THERE = ("online", "standby")
# Of etcd's problems that are no errors. Others (a slow disk, say) are no reason to keep a node out.
_MEMBER_MISSING = ("endpoint_dead", "no_member", "never_started", "few_members")


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`nodes`: those that are left, the present one first. `reboot`: a node is back when its boot is another one.
    `boot`: of the present one, before its command. `up`: servers of services that were up in the beginning.
    `failed`: how the present command failed."""

    command: str
    reboot: bool
    timeout_s: float
    drain: str
    nodes: tuple[str, ...]
    done: tuple[str, ...] = ()
    phase: Phase = "standby"
    boot: str = ""
    up: tuple[str, ...] = ()
    failed: str = ""

    @property
    def node(self) -> str:
        """The present one."""
        return self.nodes[0]

    def entering(self, phase: Phase, **more: Any) -> Plan:
        """The same plan in another phase."""
        return msgspec.structs.replace(self, phase=phase, **more)


class Act(NamedTuple):
    """What is to be done now: an action on the present node, or to `wait`, `stop` or `finish`; `text` says why."""

    kind: Literal["standby", "command", "online", "wait", "stop", "finish"]
    text: str = ""


class Times(NamedTuple):
    """How long the plan has been in its phase, and how long all has been well without a break, in seconds."""

    in_phase: float
    well: float


def begin(
    document: Document, me: str, command: str, *, reboot: bool, only: tuple[str, ...], timeout_s: float, drain: str
) -> Plan:
    """A plan for the nodes `only`, or (none) for all: in the order of the configuration, this machine's own last.
    Raises ValueError."""
    configured = [node["name"] for node in document["nodes"] if node["configured"]]
    if unknown := [name for name in only if name not in configured]:
        raise ValueError(f"no node {', '.join(unknown)} in the configuration; it has {', '.join(configured)}")
    names = [name for name in configured if name in (only or configured)]
    nodes = sorted(names, key=lambda name: name == me)
    return Plan(command, reboot, timeout_s, drain, tuple(nodes), up=tuple(sorted(_up(document))))


def refusal(document: Document) -> str:
    """Why no node may be taken out of use now; "": all is well."""
    return next(_problems(document), "")


def unwell(plan: Plan, document: Document) -> str:
    """What is not as well as it was in the beginning; "": all is."""
    down = sorted(set(plan.up) - set(_up(document)))
    return next(_problems(document), f"not up again: {', '.join(down)}" if down else "")


def decide(plan: Plan, document: Document, times: Times) -> Act:
    """The next action for the plan; the cluster's state is `document`."""
    if not plan.nodes:
        return Act("finish")
    act = _DECIDE[plan.phase](plan, document, times)
    if act.kind == "wait" and times.in_phase > plan.timeout_s:
        return Act("stop", f"not in time: {act.text}")
    return act


def follow(plan: Plan, document: Document, act: Act) -> Plan:
    """The plan once an action was carried out, or (`command`) just before it is."""
    match act.kind:
        case "standby":
            return plan.entering("empty")
        case "command":
            return plan.entering("command", boot=_node(plan, document)["boot"], failed="")
        case "online":
            return plan.entering("well")
    return plan


def commanded(plan: Plan, failed: str) -> Plan:
    """The command has ended; `failed`: how, if it was not well."""
    return plan.entering("back", failed=failed)


def resumed(plan: Plan) -> Plan:
    """A plan that had stopped, and goes on: a command that failed is tried again."""
    return plan.entering("command", failed="") if plan.phase == "back" and plan.failed else plan


def over(plan: Plan) -> Plan:
    """The present node is done."""
    return plan.entering("standby", nodes=plan.nodes[1:], done=(*plan.done, plan.node), boot="", failed="")


def _in_standby(plan: Plan, document: Document, _: Times) -> Act:
    state = _node(plan, document)["state"]
    if state not in _THERE:
        return Act("stop", f"{plan.node} is {state.replace('_', ' ')}")
    # An interrupted one may be in standby already: that alone is no reason to stop.
    others = {**document, "nodes": [node for node in document["nodes"] if node["name"] != plan.node]}
    if reason := unwell(plan, others):
        return Act("stop", reason)
    return Act("standby")


def _in_empty(plan: Plan, document: Document, _: Times) -> Act:
    node = _node(plan, document)
    if node["runs"]:
        return Act("wait", f"{plan.node} still has {', '.join(node['runs'])}")
    if node["state"] != "standby":
        return Act("stop", f"{plan.node} is {node['state']}, not in standby: somebody changed it")
    if reason := next(_of_groups(document), ""):
        return Act("wait", reason)
    return Act("command")


def _in_command(plan: Plan, document: Document, _: Times) -> Act:
    """Interrupted: it may have been carried out."""
    node = _node(plan, document)
    if plan.reboot and node["boot"] != plan.boot:
        return Act("online") if node["state"] in _THERE else Act("wait", f"{plan.node} is not back")
    return Act("command")


def _in_back(plan: Plan, document: Document, times: Times) -> Act:
    node = _node(plan, document)
    there = node["state"] in _THERE
    if not plan.reboot and plan.failed:
        return Act("stop", plan.failed)
    if there and (not plan.reboot or node["boot"] != plan.boot):
        return Act("online")
    if there and plan.failed and times.in_phase > GOES_WITHIN_S:
        return Act("stop", f"{plan.failed}, and {plan.node} does not reboot")
    state = "is not back" if not there else "has not rebooted"
    return Act("wait", f"{plan.node} {state}")


def _in_well(plan: Plan, document: Document, times: Times) -> Act:
    if reason := unwell(plan, document):
        return Act("wait", reason)
    if times.well < WELL_FOR_S:
        return Act("wait", "all is well")
    return Act("finish")


_DECIDE = {"standby": _in_standby, "empty": _in_empty, "command": _in_command, "back": _in_back, "well": _in_well}


def _node(plan: Plan, document: Document) -> Mapping[str, Any]:
    """The present node. A node that was taken out of the configuration has no session."""
    gone = {"name": plan.node, "state": "absent", "boot": "", "runs": []}
    return next((node for node in document["nodes"] if node["name"] == plan.node), gone)


def _problems(document: Document) -> Iterator[str]:
    for part in (_of_nodes, _of_groups, _errors, _of_etcd):
        yield from part(document)


def _of_nodes(document: Document) -> Iterator[str]:
    if document["stale_ms"] is not None:
        yield "etcd does not answer"
    for node in document["nodes"]:
        if node["configured"] and node["state"] != "online":
            yield f"{node['name']} is {node['state'].replace('_', ' ')}"
    for fence in document["fences"]:
        if fence["matters"]:
            yield f"the last session of {fence['node']} is not known to be stopped"
    for balancer in document["balancers"]:
        if balancer["live"] and balancer["wanted"] and not balancer["running"]:
            yield f"HAProxy does not run on {balancer['node']}"


def _of_groups(document: Document) -> Iterator[str]:
    for group in document["groups"]:
        if (
            group["enabled"]
            and group["configured"]
            and (group["state"] not in ("running", "stopped") or group["holders"])
        ):
            yield f"group {group['name']} is {group['state']}" + (f": {group['waiting']}" if group["waiting"] else "")
    for clone in document.get("clones", ()):
        if clone["enabled"] and clone["configured"] and clone["state"] not in ("running", "stopped", "nowhere"):
            yield f"group {about_clone(clone)}"
    for move in document["moves"]:
        yield f"group {move['group']} is about to be moved"


def _errors(document: Document) -> Iterator[str]:
    yield from (warning["what"] for warning in document["warnings"] if warning["level"] == "error")


def _of_etcd(document: Document) -> Iterator[str]:
    problems = (document["etcd"] or {}).get("problems", ())
    yield from (problem["what"] for problem in problems if problem["code"] in _MEMBER_MISSING)


def _up(document: Document) -> Iterator[str]:
    for service in document["services"]:
        for server in service["servers"]:
            if server["state"] == "up":
                yield f"{service['name']}/{server['name']}"
