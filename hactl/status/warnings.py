"""The warnings that an operator should see first, each with its remedy. Pure: from the status document, and the
unreadable documents in the store."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from election.reading import ReadView
from hactl.decide.troubles import trouble_warnings
from hactl.status import unreadable
from hactl.status.clone_warnings import clone_warnings
from hactl.status.namesake_warnings import namesake_warnings
from hactl.status.node_checks import failing_checks, node_check_warnings
from hactl.status.planned import planned_warnings
from hactl.status.resource_warnings import resource_warnings
from hactl.status.service_warnings import Warning_, service_warnings

_MANY_OLD_WORKERS = 4

LEVELS = ("error", "warning", "notice")

_FENCES = "`hactl fence status`, `hactl fence history`"


def warnings(document: dict[str, Any], view: ReadView) -> list[dict[str, str]]:
    """Level, what and do; the worst first."""
    gathered = [*_store(document, view), *namesake_warnings(document, view), *trouble_warnings(document)]
    if document["stale_ms"] is None:
        for part in _PARTS:
            gathered += part(document)
    gathered.sort(key=lambda warning: LEVELS.index(warning[0]))
    return [{"level": level, "what": text, "do": todo} for level, text, todo in gathered]


def _store(document: dict[str, Any], view: ReadView) -> Iterator[Warning_]:
    local = document["local"] or {}
    if local.get("refused"):
        todo = "docs/operations.md, *etcd was restored from a backup, or lost*"
        yield "error", f"this node takes no part: {local['refused']}", todo
    elif view.listed and view.identity is None and not view.mod_of(view.keys.identity):
        yield "error", "the store holds no cluster", "`hactl init` for a new one, `hactl recover` for one that was lost"
    yield from _etcd(document, view.keys.prefix, away=document["source"] == "disk" or bool(local.get("store_away")))
    if local.get("phase") == "listing" and not local.get("store_away"):
        yield "warning", "this daemon has not read the store yet", "if it stays so, look at etcd and the daemon's log"
    etcdctl = document["etcd"]["etcdctl"] if document["etcd"] else "etcdctl"
    yield from unreadable.warnings(document["unreadable"], view, etcdctl)
    if local.get("errors"):
        text = f"an internal error of hactl on this node, {local['errors']} times; the last: {local['last_error']}"
        yield "error", text, "report it, with `internal_error` of the daemon's log"
    if local.get("phase") == "live" and not local["guard_ready"]:
        yield "error", "this node's guard does not hold its deadline: nothing starts here", "see the daemon's log"
    yield from _watchdog(local)
    if local.get("unasked"):
        why = local["unasked"]
        text = f"guards are not asked before their nodes are fenced (a restarted daemon may cost one): {why}"
        yield "warning", text, "`hactl key create`, the same file on every node; docs/operations.md, *Asking the guard*"
    yield from _access(local.get("access"))
    yield from _loop(local.get("loop"))
    old_workers = (local.get("haproxy") or {}).get("old_workers", 0)
    if old_workers >= _MANY_OLD_WORKERS:
        text = f"{old_workers} workers of HAProxy on this node live on after reloads, for connections that do not end"
        yield "notice", text, "see `haproxy.hard_stop_after`; of more than 8 the oldest is ended"
    if local.get("events_dropped"):
        yield "warning", f"{local['events_dropped']} events were not written to the history", "they are in the log"


def _watchdog(local: dict[str, Any]) -> Iterator[Warning_]:
    watchdog = local.get("watchdog") or {"problem": "", "armed": True}
    if watchdog["problem"] or not watchdog["armed"]:
        level = "error" if watchdog["use"] == "required" else "warning"
        owns = ", and this node requires one to own anything" if level == "error" else ""
        text = f"this node's watchdog is not armed{owns}: {watchdog['problem'] or 'not yet'}"
        yield level, text, "see docs/operations.md, *The watchdog*"


def _etcd(document: dict[str, Any], prefix: str, *, away: bool) -> Iterator[Warning_]:
    """Problems of etcd itself, and, where nothing else explains it, that it does not answer."""
    etcd = document["etcd"] or {"problems": [], "etcdctl": "etcdctl"}
    yield from ((problem["level"], problem["what"], problem["do"]) for problem in etcd["problems"])
    explained = any(problem["level"] == "error" for problem in etcd["problems"])
    unlisted = (document["local"] or {}).get("list_problem")
    if unlisted and not explained and any(endpoint["reads"] for endpoint in etcd.get("endpoints", ())):
        if _REFUSES.search(unlisted):
            roles = f"`{etcd['etcdctl']} role list`"
            todo = f"see `etcd_user` in node.toml, and what that user may: {roles}; docs/install.md"
            yield "error", f"etcd refuses this node's requests: {unlisted}", todo
            return
        text = f"etcd answers, but this node cannot list what is below {prefix}: {unlisted}"
        listing = f"`{etcd['etcdctl']} get --prefix --keys-only {prefix}` shows what is there"
        yield "error", text, f"{listing}: delete what is not hactl's; there may be very many keys, or very large ones"
    elif away and not explained:
        todo = f"`{etcd['etcdctl']} endpoint status -w table`, and etcd's log: `journalctl -u etcd`"
        yield "error", "etcd does not answer this node in time", todo


# The words of etcd for a request without a right password, or without the permission to read.
_REFUSES = re.compile("permission denied|authentication failed|user name is empty|invalid user|invalid auth token")

# Where hactl's setup made it. Who has another authority knows how.
_RENEW = "renew it (`hactl certs renew`, where `hactl setup` ran); hactl and etcd read the new file by themselves"
# Certificates that end within so many days are warned of, and are an error.
_WARN_DAYS, _ERROR_DAYS = 14.0, 3.0


def _access(access: dict[str, Any] | None) -> Iterator[Warning_]:
    """How this node reaches etcd: what is weak, and certificates that end soon."""
    if access is None:
        return
    for weakness in access["weak"]:
        yield "warning", weakness["problem"], weakness["hint"]
    days = access["soonest_days"]
    if days is not None and days <= _WARN_DAYS:
        first = min(access["certificates"], key=lambda certificate: str(certificate["end"]))
        ends = "ended" if days <= 0 else f"ends in {days:.0f} days"
        text = f"the certificate {first['path']} for etcd {ends} ({first['end']})"
        yield "error" if days <= _ERROR_DAYS else "warning", text, _RENEW


def _loop(loop: Mapping[str, float] | None) -> Iterator[Warning_]:
    """Whether the loop that decides was kept from its work for long."""
    wait = "find what loads this machine or its disk: a longer wait can lose the lease"
    for key, words, todo in (
        ("work_ms", "was busy with one task for", "report it, with the daemon's log of that time"),
        ("wait_ms", "did not get to run for", wait),
    ):
        if loop is not None and loop[key] > loop["limit_ms"]:
            about = f"within the last {loop['minutes']:.0f} minutes"
            yield "warning", f"this node's daemon {words} {loop[key]:.0f} ms ({about})", todo


def _groups(document: dict[str, Any]) -> Iterator[Warning_]:
    blocked = (document["local"] or {}).get("blocked", {})
    nodes = {node["name"]: node["state"] for node in document["nodes"]}
    failing = failing_checks(document)
    for group in _looked_after(document):
        name, state, why = group["name"], group["state"], group["waiting"]
        owner = group["owner"]
        if group["blocked"]:
            runs = f"it runs on {owner}, and is started nowhere else" if state == "running" else "it does not run"
            level = "warning" if state == "running" else "error"
            yield level, f"group {name} is {group['blocked']['text']}; {runs}", group["blocked"]["do"]
        elif state == "blocked":
            reason = why or blocked.get(name, "")
            yield "error", f"group {name} cannot be stopped on {owner}: {reason}", f"stop it by hand on {owner}"
        elif state == "failed":
            yield "error", f"group {name} has failed on {owner}: {why}", "it is tried again; see `hactl events`"
        elif state == "lost" and group["fencing"] == "required" and _fence(document, owner).get("fencing"):
            fence = _fence(document, owner)
            text = f"group {name} does not run: {owner} is being fenced; waiting for {fence['waiting']}"
            yield "error", text, _way(fence)
        elif state == "lost" and group["fencing"] == "required":
            todo = f"make sure {owner} is off, then `hactl fence confirm {owner}`"
            yield "error", f"group {name} does not run: {why}", todo
        elif state == "unreadable":
            continue  # said of its key
        elif state in ("lost", "unowned", "released"):
            yield "error", f"group {name} does not run: {why or 'no node owns it'}", _todo(group, nodes)
        elif state == "handoff" and why:
            yield "error", f"group {name} does not run: {why}", "it is taken over when that node's lease is over"
        elif state in ("starting", "stopping", "handoff", "unknown"):
            yield "notice", f"group {name} is {_word(state)} on {owner}", "wait; `hactl status --watch`"
        yield from _held(group)
        yield from _seen(group)
        yield from _readiness(group, failing)
        if not group["configured"]:
            yield "warning", f"group {name} is not in the configuration, but {owner} owns it", "see `hactl events`"
        if group["enabled"] and state == "running" and len(group["candidates"]) == 1 and not group["stopped"]:
            yield "warning", f"group {name} runs on {owner} and could run nowhere else", _others_why(group)


def _held(group: dict[str, Any]) -> Iterator[Warning_]:
    if reason := group["fenced_for"]:
        text = f"for group {group['name']} no node is fenced again if it cannot be stopped: {reason}"
        yield "warning", text, f"repair it, then `hactl group cleanup {group['name']}`"
    if (held := group["held"]) is not None:
        yield "error", f"GROUP {group['name']} IS HELD ON {held['node']}: {held['text']}", held["do"]


def _seen(group: dict[str, Any]) -> Iterator[Warning_]:
    """Nodes that do not reach its address as a client does."""
    views = group["client_views"].items()
    todo = f"see that clients reach {group['name']} from there: the network, a firewall, the probe itself"
    for node, view in views:
        if view["level"] == "failed":
            yield "warning", f"{node} cannot reach group {group['name']} as a client: {view.get('why', '')}", todo
        elif view["level"] == "unreached":
            text = f"{node} has not reached group {group['name']} as a client since it came to {group['owner']}"
            yield "warning", f"{text}, so its probes do not count: {view.get('why', '')}", todo


def _looked_after(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The groups at which no operator is at work: of the others see planned.py."""
    for group in document["groups"]:
        if not group["maintenance"] and group["state"] != "unmanaged":
            yield group


def _readiness(group: dict[str, Any], failing: dict[str, list[str]]) -> Iterator[Warning_]:
    """Nodes that are not ready for it. What is wrong on its owner comes first, and that nobody is better. `failing`:
    the health checks that each node fails, which are told once for all groups."""
    name, owner = group["name"], group["owner"]
    for node, standing in group["readiness"].items():
        if node != owner and any(standing["why"].startswith(f"{check}: ") for check in failing.get(node, ())):
            continue
        better = [candidate for candidate in group["candidates"] if candidate not in group["readiness"]]
        if standing["level"] == "unfit":
            yield "warning", f"group {name} could not be started on {node}: {standing['why']}", f"fix it on {node}"
        elif node == owner and better:
            yield "error", f"group {name} must leave {node}: {standing['why']}", f"wait: it goes to {better[0]}"
        elif node == owner:
            todo = f"fix it on {node}: no other node is better, so the group stays there"
            yield "error", f"group {name} is not well on {node}: {standing['why']}", todo
        else:
            todo = f"fix it on {node}; until then the group goes there only when no other node is better"
            yield "warning", f"{node} is not ready for group {name}: {standing['why']}", todo


def _word(state: str) -> str:
    return {"handoff": "being handed over; it starts", "unknown": "being looked at"}.get(state, state)


def _todo(group: dict[str, Any], nodes: dict[str, str]) -> str:
    standby = [name for name in group["excluded"] if nodes.get(name) == "standby"]
    if group["candidates"]:
        return "wait; if it stays so, see `hactl events`"
    if standby:
        return f"`hactl node online {standby[0]}`"
    return "start hactl on one of its nodes"


def _others_why(group: dict[str, Any]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in group["excluded"].items()) or "it has one node only"


def _nodes(document: dict[str, Any]) -> Iterator[Warning_]:
    fences = {fence["node"]: fence for fence in document["fences"]}
    for node in document["nodes"]:
        name = node["name"]
        if node["state"] == "fence_pending" and fences[name]["generation"]:
            todo = f"start hactl there, or make sure it runs nothing, then `hactl fence confirm {name}`"
            yield "error", f"node {name} has not reported since `hactl recover` that it stopped everything", todo
        elif node["state"] == "fence_pending" and fences[name]["fencing"]:
            failed = f"; so far: {fences[name]['last']}" if fences[name]["last"] else ""
            text = f"node {name} is being fenced; waiting for {fences[name]['waiting']}{failed}"
            yield "error" if fences[name]["failures"] else "warning", text, _way(fences[name])
        elif node["state"] == "fence_pending":
            todo = f"start it again; if it is gone for good, make sure it is off, then `hactl fence confirm {name}`"
            yield "warning", f"node {name} was lost and is not known to be stopped", todo
        elif node["state"] == "unreadable":
            continue  # said of its key
        elif node["state"] in ("dead", "absent") and node["standby"]:
            todo = f"start hactl there, then `hactl node online {name}`, when it is to be used again"
            yield "notice", f"node {name} is in standby, and off", todo
        elif node["state"] in ("dead", "absent"):
            yield "warning", f"node {name} takes no part", f"start hactl on {name}"
        elif node["silent_ms"] is not None and node["silent_ms"] > node["lease_ms"] / 2:
            todo = f"wait; after {node['lease_ms'] / 1000:.1f} s its groups are taken over"
            yield "warning", f"node {name} has been silent for {node['silent_ms'] / 1000:.1f} s", todo
        elif node["state"] == "standby":
            yield "notice", f"node {name} is in standby: no group runs there", f"`hactl node online {name}`"
        if node["state"] in ("online", "standby") and not node["configured"]:
            yield "warning", f"node {name} is not in the configuration", "stop hactl there, or add it to cluster.yaml"
        if node["state"] in ("online", "standby") and node["config_revision"] and not node["config_current"]:
            yield "warning", f"node {name} does not use the newest configuration", "see the log of its daemon"


def _way(fence: dict[str, Any]) -> str:
    """How a fencing is followed, and how it is ended by hand once devices have failed."""
    if not fence["failures"]:
        return _FENCES
    name = fence["node"]
    return f"fix the device, or make sure that {name} is off and say so: `hactl fence confirm {name}`; see {_FENCES}"


def _fence(document: dict[str, Any], node: str) -> dict[str, Any]:
    return next((fence for fence in document["fences"] if fence["node"] == node), {})


def _fencing(document: dict[str, Any]) -> Iterator[Warning_]:
    """The failures that would come up if a node had to be fenced now."""
    todo = "fix it, then `hactl fence test`"
    for node in document["nodes"]:
        fencing = node["fencing"] or {"device": False}
        if fencing["device"] and not fencing["by"] and not fencing["untested"] and _others(document, node):
            yield "error", f"node {node['name']} could not be fenced now: no live node reaches its devices", todo
    for (device, detail), (targets, testers) in _failing(document).items():
        text = f"fence device {device} fails for {', '.join(targets)} when asked by {', '.join(testers)}: {detail}"
        yield "warning", text, todo
    for fence in document["fences"]:
        if fence["state"] == "safe" and fence["power"] == "off":
            yield "notice", f"node {fence['node']} was switched off; waiting for {fence['waiting']}", _FENCES


def _failing(document: dict[str, Any]) -> dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]]:
    """Devices that fail, once for each reason: the nodes that they fail for, and the nodes that asked."""
    failing: dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for report in document["devices"]:
        for target in report["targets"]:
            if not target.get("ok"):
                targets, testers = failing.setdefault((str(target.get("device")), str(target.get("detail"))), ({}, {}))
                targets[str(target.get("node"))] = testers[report["node"]] = None
    return failing


def _others(document: dict[str, Any], node: dict[str, Any]) -> bool:
    """Whether there is a live node beside it."""
    return any(other["state"] in ("online", "standby") and other is not node for other in document["nodes"])


def _rest(document: dict[str, Any]) -> Iterator[Warning_]:
    running = {group["name"]: group["owner"] for group in document["groups"] if group["state"] == "running"}
    for failure in document["failures"]:
        group, node, why = failure["group"], failure["node"], f"{failure['resource']}: {failure['reason']}"
        todo = f"repair it, then `hactl group cleanup {group} --node {node}`; or wait failure_expiry"
        if running.get(group) == node:
            yield "notice", f"group {group} runs on {node}, where it had failed: {why}", todo
        else:
            yield "warning", f"group {group} is kept off {node}: {why}", todo
    for move in document["moves"]:
        to = move["to"] or "another node"
        yield "notice", f"group {move['group']} will move from {move['from']} to {to} (by {move['by']})", "wait"
    if document["config"]["problem"]:
        text = f"the configuration in the store cannot be used here: {document['config']['problem']}"
        yield "error", text, "`hactl config apply` one that can, or upgrade hactl here"


_PARTS = (
    _groups, clone_warnings, planned_warnings, resource_warnings, _nodes, node_check_warnings, _fencing,
    service_warnings, _rest,
)  # fmt: skip
