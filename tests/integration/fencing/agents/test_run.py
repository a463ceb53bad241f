"""Agents run for real: small ones, written for each test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from fencing.agents.agent import AgentCall, AgentResult, run_agent
from fencing.topology import SecretFile

# Nothing takes this long: it says that a test hangs.
LONG = 30.0
Write = Callable[..., str]


def run(call: AgentCall) -> AgentResult:
    return asyncio.run(run_agent(call))


def test_options_and_environment_of_an_agent(agent: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "VIRTUAL_ENV", "NOTIFY_SOCKET"):
        monkeypatch.setenv(name, "/nowhere")
    path = agent('echo "$given"; env; echo "args: $#"')
    options = {"ip": "10.0.0.1", "password": "hunter22", "lanplus": "1"}
    result = run(AgentCall(path, "off", LONG, options, plug="3", node="n1"))
    assert (result.outcome, result.exit_status) == ("ok", 0)
    lines = result.output.splitlines()
    assert lines[:6] == ["ip=10.0.0.1", "password=***", "lanplus=1", "port=3", "nodename=n1", "action=off"]
    assert "args: 0" in lines and "LC_ALL=C" in lines
    assert not [line for line in lines if line.startswith(("PYTHONPATH=", "VIRTUAL_ENV=", "NOTIFY_SOCKET="))]


def test_the_plug_by_its_agents_name(agent: Write) -> None:
    path = agent('echo "$given"')
    assert "plug=3\n" in run(AgentCall(path, "off", LONG, plug="3", plug_option="plug")).output


def test_only_status_tells_the_power(agent: Write) -> None:
    assert run(AgentCall(agent("echo Status: OFF; exit 2"), "status", LONG)).power == "off"
    assert run(AgentCall(agent("echo Status: ON"), "status", LONG)).power == "on"
    done = run(AgentCall(agent("echo Success: Powered OFF"), "off", LONG))
    assert (done.outcome, done.power, done.detail) == ("ok", "unknown", "Success: Powered OFF")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("echo 'no such outlet' >&2; exit 1", "exit status 1: no such outlet"),
        ("kill -TERM $$", "killed by signal 15"),
        ("nonsense-command", "not found"),
        ("if", "exit status 2"),
    ],
)
def test_failures(agent: Write, body: str, detail: str) -> None:
    for action in ("off", "status"):
        result = run(AgentCall(agent(body), action, LONG))  # type: ignore[arg-type]
        assert (result.outcome, result.power) == ("failed", "unknown")
        assert detail in result.detail


def test_an_agent_that_cannot_be_run(agent: Write, tmp_path: Path) -> None:
    assert "no fence agent fence_nowhere" in run(AgentCall("fence_nowhere", "off", LONG)).detail
    assert "no fence agent ../bin/sh" in run(AgentCall("../bin/sh", "off", LONG)).detail
    (tmp_path / "fence_text").write_text("not executable")
    assert "no fence agent" in run(AgentCall(str(tmp_path / "fence_text"), "off", LONG)).detail
    lost = run(AgentCall(agent("", interpreter="/nowhere/python"), "status", LONG))
    assert (lost.outcome, lost.power) == ("failed", "unknown")


@pytest.mark.parametrize("options", [{"version": "1"}, {"action": "status"}, {"x y": "1"}, {"ip": "a\naction=on"}])
def test_options_that_would_change_the_action(agent: Write, tmp_path: Path, options: dict[str, str]) -> None:
    result = run(AgentCall(agent(f"touch {tmp_path}/ran"), "off", LONG, options))
    assert result.outcome == "failed"
    assert not (tmp_path / "ran").exists()


def test_two_plugs(agent: Write, tmp_path: Path) -> None:
    result = run(AgentCall(agent(f"touch {tmp_path}/ran"), "off", LONG, {"port": "1"}, plug="2"))
    assert "both say which plug" in result.detail and not (tmp_path / "ran").exists()


def test_the_deadline(agent: Write, pipe: Any) -> None:
    """Killed with all that it started in its group."""
    path = agent(f"exec 9>{pipe.path}; sleep {LONG} & sleep {LONG}; echo late >&9")
    result = run(AgentCall(path, "off", 0.3))
    assert (result.outcome, result.power, result.exit_status) == ("timeout", "unknown", None)
    assert result.detail == "it did not end within 0.3 s and was killed"
    assert 0.3 <= result.seconds < LONG / 2
    assert pipe.rest() == b""


def test_it_may_not_ignore_the_deadline(agent: Write) -> None:
    assert run(AgentCall(agent(f"trap '' TERM ALRM INT HUP; sleep {LONG}"), "off", 0.3)).outcome == "timeout"


def test_success_at_the_deadline_is_failure(agent: Write) -> None:
    """It ended with 0, but this process, busy, only saw it after the deadline: it is not known when the agent acted."""

    async def busy() -> AgentResult:
        asyncio.get_running_loop().call_later(0.05, time.sleep, 0.8)
        return await run_agent(AgentCall(agent("echo Status: OFF; sleep 0.2; exit 2"), "status", 0.5))

    result = asyncio.run(busy())
    assert (result.outcome, result.power) == ("timeout", "unknown")


def test_processes_that_an_agent_leaves_are_killed(agent: Write, pipe: Any) -> None:
    """An agent that says that it is done and acts later could hit a node that is back."""
    path = agent(f"(sleep {LONG}; echo late) 9>{pipe.path} >&9 2>&9 &")
    assert run(AgentCall(path, "off", LONG)).outcome == "ok"
    assert pipe.rest() == b""


def test_cancelled(agent: Write, pipe: Any) -> None:
    async def cancel() -> None:
        task = asyncio.create_task(run_agent(AgentCall(path, "off", 2 * LONG)))
        await asyncio.to_thread(pipe.line)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    path = agent(f"exec 9>{pipe.path}; echo begun >&9; sleep {LONG} & sleep {LONG}; echo late >&9")
    asyncio.run(cancel())
    assert pipe.rest() == b""


def test_its_output_is_bounded(agent: Write) -> None:
    path = agent("head -c 3000000 /dev/zero | tr '\\0' x; echo; head -c 3000000 /dev/zero >&2")
    result = run(AgentCall(path, "list", LONG))
    assert result.outcome == "ok"
    assert len(result.output) <= 1_000_000


def test_secrets_are_nowhere(agent: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not in its output, as it was or encoded, not among its arguments, not in our log, and in no repr."""
    key = tmp_path / "key"
    key.write_text("file0secret\n")
    key.chmod(0o600)
    path = agent(
        'echo "$given"; echo "$given" >&2; tr "\\0" " " </proc/$PPID/cmdline; cat /proc/$$/environ;'
        'printf %s "root:option0secret" | base64; exit 1'
    )
    options = {
        "username": "root", "password": "option0secret", "apikey": SecretFile(str(key)), "pin": "said0secret",
        "snmp_priv_passwd_script": "echo script0secret; echo warn0secret >&2",
    }  # fmt: skip
    call = AgentCall(path, "off", LONG, options, secret_names=frozenset({"pin"}))
    structlog.reset_defaults()
    with capture_logs() as logs:
        result = run(call)
    assert "snmp_priv_passwd=***" in result.output and "apikey=***" in result.output
    seen = repr((result, result.output, call, logs, caplog.text))
    assert "0secret" not in seen
    assert "cm9vdDpvcHRpb24wc2VjcmV0" not in seen
    assert [log["outcome"] for log in logs] == ["failed"]


def test_a_secret_that_cannot_be_had(agent: Write, tmp_path: Path) -> None:
    path = agent(f"touch {tmp_path}/ran")
    result = run(AgentCall(path, "off", LONG, {"password": SecretFile(str(tmp_path / "none"))}))
    assert result.outcome == "failed" and "none: No such file" in result.detail
    late = run(AgentCall(path, "off", 0.3, {"password_script": f"sleep {LONG}"}))
    assert late.outcome == "failed" and "did not end in time" in late.detail
    assert not (tmp_path / "ran").exists()
