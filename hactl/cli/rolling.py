"""`hactl cluster rolling-reboot`: carries out what `hactl.admin.rolling` decides."""

from __future__ import annotations

import shlex
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from election.store import StoreError
from hactl.admin import rolling
from hactl.admin.rolling import Act, Plan, Times
from hactl.cli import node as node_commands
from hactl.cli.backend import Backend
from hactl.cli.common import BAD_INPUT, CliError, say, tell
from hactl.config.node import NodeConfig
from hactl.linux.atomic_write import write_atomically

FILE = "rolling-reboot.json"
RESUME = "`hactl cluster rolling-reboot --resume`"
OVER_SSH = "ssh -o BatchMode=yes {address} systemctl reboot"
HERE = "systemctl reboot"
LOOK_S = 1.0


class Options(NamedTuple):
    """As given to the command."""

    command: str
    reboot: bool
    only: tuple[str, ...]
    timeout_s: float
    drain: str
    resume: bool
    new: bool


def run(config: NodeConfig, given: Path | None, options: Options) -> None:
    """Until all nodes are done. Raises CliError: refused, or stopped on the way."""
    file = Path(config.state_dir, FILE)
    kept = _kept(file)
    if options.resume and kept is None:
        raise CliError(f"nothing to resume: there is no {file}")
    if kept is not None and not (options.resume or options.new):
        raise CliError(f"the last one stopped at {_place(kept)}: {RESUME}, or begin anew with --new")
    way = _Way(config, given, file)
    way.follow(rolling.resumed(kept) if options.resume and kept else way.begin(options))


class _Way:
    """A plan that is being carried out."""

    def __init__(self, config: NodeConfig, given: Path | None, file: Path) -> None:
        self._config, self._given, self._file = config, given, file
        self._since = self._well_since = time.monotonic()
        self._shown = ""

    def begin(self, options: Options) -> Plan:
        """A new plan, if all is well. Raises CliError."""
        document = self._look()
        if reason := rolling.refusal(document):
            raise CliError(f"not all is well: {reason}. Nothing was done; see `hactl status`")
        try:
            plan = rolling.begin(
                document, self._config.node, options.command, reboot=options.reboot, only=options.only,
                timeout_s=options.timeout_s, drain=options.drain,
            )  # fmt: skip
        except ValueError as error:
            raise CliError(str(error), BAD_INPUT) from None
        say(f"one after the other: {', '.join(plan.nodes)}")
        self._keep(plan)
        return plan

    def follow(self, plan: Plan) -> None:
        """Until its end. Raises CliError."""
        try:
            while plan.nodes:
                plan = self._step(plan)
        except KeyboardInterrupt:
            tell(f"interrupted at {_place(plan)}; to go on: {RESUME}")
            raise
        self._file.unlink(missing_ok=True)
        say(f"done: {', '.join(plan.done)}")

    def _step(self, plan: Plan) -> Plan:
        try:
            document = self._look()
            act = rolling.decide(plan, document, self._times(plan, document))
        except (CliError, StoreError) as error:
            document, act = {}, Act("wait", str(error))
            if time.monotonic() - self._since > plan.timeout_s:
                act = Act("stop", f"not in time: {error}")
        match act.kind:
            case "wait":
                self._show(plan, act.text)
                time.sleep(LOOK_S)
                return plan
            case "stop":
                raise CliError(f"stopped at {_place(plan)}: {act.text}. When that is repaired: {RESUME}")
            case "finish":
                say(f"{plan.node}: done")
                return self._keep(rolling.over(plan))
            case "command":
                return self._command(self._keep(rolling.follow(plan, document, act)), document)
        try:
            if act.kind == "standby":
                node_commands.standby(plan.node, drain_timeout=plan.drain, wait=False, config=self._given)
            else:
                node_commands.online(plan.node, config=self._given)
        except (CliError, StoreError) as error:
            raise CliError(f"stopped at {_place(plan)}: {error}. When that is repaired: {RESUME}") from None
        return self._keep(rolling.follow(plan, document, act))

    def _command(self, plan: Plan, document: dict[str, Any]) -> Plan:
        here = plan.node == self._config.node
        command = plan.command or (HERE if here else OVER_SSH)
        address = next(node["address"] for node in document["nodes"] if node["name"] == plan.node)
        for name, value in (("{node}", plan.node), ("{address}", address)):
            command = command.replace(name, shlex.quote(value))
        if here and plan.reboot:
            say(f"{plan.node} is this machine. After its boot: {RESUME}")
        say(f"{plan.node}: {command}")
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, timeout=plan.timeout_s, check=False
            )
            failed = f"`{command}` ended with status {done.returncode}" if done.returncode else ""
        except subprocess.TimeoutExpired:
            failed = f"`{command}` did not end within {plan.timeout_s:g} s"
        if failed:
            tell(failed)
        return self._keep(rolling.commanded(plan, failed))

    def _look(self) -> dict[str, Any]:
        with closing(Backend(self._config)) as backend:
            return backend.status()

    def _times(self, plan: Plan, document: dict[str, Any]) -> Times:
        now = time.monotonic()
        if rolling.unwell(plan, document):
            self._well_since = now
        return Times(now - self._since, now - self._well_since)

    def _keep(self, plan: Plan) -> Plan:
        """On disk before anything more is done."""
        self._since = self._well_since = time.monotonic()
        try:
            write_atomically(self._file, msgspec.json.encode(plan))
        except OSError as error:
            raise CliError(f"cannot write {self._file}: {error.strerror}; nothing more is done") from None
        return plan

    def _show(self, plan: Plan, text: str) -> None:
        if text != self._shown:
            self._shown = text
            say(f"{plan.node}: waiting: {text}")


def _kept(file: Path) -> Plan | None:
    """The plan that was left, None where there is none. Raises CliError."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Plan)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CliError(f"cannot read {file}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise CliError(f"{file} cannot be read ({error}): look at `hactl status`, and begin anew with --new") from None


def _place(plan: Plan) -> str:
    """Where a plan is, in words."""
    if not plan.nodes:
        return "its end"
    done = f"; done: {', '.join(plan.done)}" if plan.done else ""
    left = f"; left: {', '.join(plan.nodes[1:])}" if plan.nodes[1:] else ""
    return f"{plan.node} ({_PHASES[plan.phase]}{done}{left})"


_PHASES = {
    "standby": "still in use",
    "empty": "in standby, being emptied",
    "command": "in standby, at its command",
    "back": "in standby, its command has run",
    "well": "in use again",
}
