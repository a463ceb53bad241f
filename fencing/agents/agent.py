"""Runs a ClusterLabs fence agent (FenceAgentAPI): options on its standard input, its exit status the answer.

An agent that ran into its deadline has failed, even when it ended with 0 in that moment, and nothing of it is left
running. Secrets are given to the agent and to nobody else: its output is cleaned of them before it gets here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import structlog

from fencing.agents.installed import find_agent, look, not_to_be_run
from fencing.agents.options import OptionValue, refused_name, refused_text
from fencing.agents.process import Ended, StartError, run_bounded, seconds_since
from fencing.agents.redact import Redactor
from fencing.agents.secret_sources import Resolved, SecretError, resolve_secrets
from fencing.agents.verdict import Action, Outcome, Power, judge, last_words
from fencing.linux.aside import NoAnswerError
from fencing.linux.clock import now

log = structlog.get_logger()

# Of each output. Metadata is the longest thing that agents say.
MAX_OUTPUT = 1_000_000
_LOGINS = ("username", "login")


@dataclass(frozen=True, slots=True)
class AgentCall:
    """A request to an agent. `timeout_s` is for all of it, scripts for secrets included.

    `agent` is a name or an absolute path; `options` as a `topology.Device` has them.
    `plug` is which of the device's machines, under the name `plug_option`: `port` is understood by all agents,
    `Metadata.plug_option` is how theirs calls it. `node` is the cluster's name for the machine, for agents that go
    by it. `secret_names` are options that are secret as the agent says (`Metadata.secret_names`); those that look so
    by their names are known.
    """

    agent: str
    action: Action
    timeout_s: float
    options: Mapping[str, OptionValue] = field(default_factory=dict, repr=False)
    plug: str | None = None
    node: str | None = None
    plug_option: str = "port"
    secret_names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AgentResult:
    """The result of a call.

    `power` is the device's state as it was seen, and only `status` looks: an `off` that is `ok` is the agent's word.
    `detail` is one line for the operator. `seconds` counts from the call. `exit_status` is None when the agent did
    not run or was killed, negative for a signal. `output` is its standard output. Free of secrets.
    """

    outcome: Outcome
    power: Power
    detail: str
    seconds: float
    exit_status: int | None
    output: str = field(default="", repr=False)


async def run_agent(call: AgentCall, *, cgroup: str | None = None) -> AgentResult:
    """Ask an agent. A failure is a result, not an exception; a cancellation kills the agent.

    `cgroup`: a cgroup v2 directory below which the agent gets one of its own, so that also its children in other
    sessions (ssh, telnet) are killed with it.
    """
    start = now()
    result = await _run(call, cgroup)
    result = replace(result, seconds=seconds_since(start))
    _log(call, result)
    return result


async def _run(call: AgentCall, cgroup: str | None) -> AgentResult:
    start = now()
    try:
        path, refused = await look(_look_for, call.agent, timeout_s=call.timeout_s)
    except NoAnswerError:
        return _failed(f"fence agent {call.agent}: the file system that it is looked for on does not answer")
    if path is None:
        return _failed(f"there is no fence agent {call.agent} on this node: install it (`hactl fence agents`)")
    if refused:
        return _failed(f"{path} is not run: {refused}")
    try:
        options = await resolve_secrets(
            call.options, timeout_s=call.timeout_s, secret_names=call.secret_names, cgroup=cgroup
        )
        text = _lines(call, options)
        ended = await run_bounded(
            [path], stdin=text, timeout_s=call.timeout_s - seconds_since(start), max_output=MAX_OUTPUT, cgroup=cgroup
        )
    except SecretError as error:
        return _failed(str(error))
    except StartError as error:
        return _failed(f"{path}: {error}")
    return _result(call, options, ended)


def _look_for(agent: str) -> tuple[str | None, str]:
    """Its file, and why it must not be run."""
    path = find_agent(agent)
    return path, not_to_be_run(path) if path else ""


def _result(call: AgentCall, options: Resolved, ended: Ended) -> AgentResult:
    redactor = Redactor(options.secrets, [options.options[name] for name in _LOGINS if name in options.options])
    stdout, stderr = (redactor.clean(text, cut=ended.cut) for text in (ended.stdout, ended.stderr))
    if ended.timed_out:
        words = last_words(stdout, stderr)
        detail = f"it did not end within {call.timeout_s:g} s and was killed" + (f": {words}" if words else "")
        if ended.returncode is None:
            detail += " (it hangs in the kernel and is still there)"
        return AgentResult("timeout", "unknown", detail, ended.seconds, None, stdout)
    assert ended.returncode is not None
    verdict = judge(call.action, ended.returncode, stdout, stderr)
    return AgentResult(verdict.outcome, verdict.power, verdict.detail, ended.seconds, ended.returncode, stdout)


def _lines(call: AgentCall, options: Resolved) -> bytes:
    """The agent's input. Raises StartError for a value that no line can hold, without naming it."""
    given = dict(options.options)
    if call.plug is not None:
        if {"plug", "port"} & given.keys():
            raise StartError("its options and the call both say which plug")
        given[call.plug_option] = call.plug
    for name, value in given.items():
        if wrong := refused_name(name) or refused_text(value):
            raise StartError(f"option {name} {wrong}")
    if call.node is not None:
        given["nodename"] = call.node
    given["action"] = call.action
    return "".join(f"{name}={value}\n" for name, value in given.items()).encode()


def _log(call: AgentCall, result: AgentResult) -> None:
    """A switch of a machine is logged as information, a failure as a warning; status and metadata are routine."""
    write = log.info if call.action in ("on", "off", "reboot") else log.debug
    if result.outcome != "ok" and call.action not in ("metadata", "validate-all"):
        write = log.warning
    write(
        "fence_agent", agent=call.agent, action=call.action, plug=call.plug, outcome=result.outcome,
        power=result.power, detail=result.detail, seconds=round(result.seconds, 3), exit_status=result.exit_status,
    )  # fmt: skip


def _failed(detail: str) -> AgentResult:
    return AgentResult("failed", "unknown", detail, 0.0, None)
