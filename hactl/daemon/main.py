"""The daemon: joins the decide side with the parts that carry its effects out."""

from __future__ import annotations

import hactl.daemon.startup  # noqa: F401 - before anything that imports structlog

# isort: split
import asyncio
import contextlib
import signal
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from election.clock import Instant
from election.keys import Keys
from election.records import CheckReport
from election.store import Store, StoreError
from fencing.guard.client import GuardError, forget_stop_record, read_stop_record
from fencing.linux import core_dump
from fencing.linux.clock import now as read_clocks
from fencing.linux.umask import keep_private
from hactl import __version__
from hactl.config.errors import ConfigErrors, UnusableFileError
from hactl.config.etcd_access import open_etcd
from hactl.config.node import NodeConfig, load_node
from hactl.daemon.actions import Actions
from hactl.daemon.deferred import SecondStage
from hactl.daemon.guard_link import GuardLink, open_link
from hactl.daemon.log import setup
from hactl.daemon.log.writer import LogWriter
from hactl.daemon.loop import Loop
from hactl.daemon.observe.etcd import EtcdObserver
from hactl.daemon.observe.etcd_access import EtcdAccess
from hactl.daemon.observe.loop_times import run_measured
from hactl.daemon.observe.namesake import Namesake
from hactl.daemon.observe.run_dir import RunDir
from hactl.daemon.observe.self_check import SelfCheck
from hactl.daemon.observe.watchdog import WatchdogFollower
from hactl.daemon.parts.config_reader import ConfigReader
from hactl.daemon.parts.config_reading import ConfigReading
from hactl.daemon.parts.environment import Place, find_place, guard_spec, node_context
from hactl.daemon.parts.fencer import Fencer
from hactl.daemon.parts.history import History
from hactl.daemon.parts.last_known import LastKnown
from hactl.daemon.parts.member import member_of
from hactl.daemon.parts.private_files import make_private
from hactl.daemon.parts.sdnotify import Notifier, in_a_line, machine_goes_down
from hactl.daemon.parts.self_fence import self_fence
from hactl.daemon.parts.state_files import AlreadyRunningError, StateFiles
from hactl.daemon.parts.state_keeper import StateKeeper
from hactl.daemon.parts.troubles import Troubles
from hactl.daemon.registrar import Registrar
from hactl.daemon.store_link import StoreLink
from hactl.decide import node as decide
from hactl.decide.peers import member_txn
from hactl.decide.reading import ReadState
from hactl.decide.sequences import GuardMessage
from hactl.model import effects, events
from hactl.model.purposes import Purpose
from hactl.supervise import Tasks

if TYPE_CHECKING:
    from hactl.daemon.hooks.feed import Hooks
    from hactl.daemon.metrics import Metrics
    from hactl.daemon.parts.ledger import Timeline
    from hactl.haproxy.control.manager import HaproxyManager
    from hactl.status.health import NodeHealth

log = structlog.get_logger()

# A daemon that finds a file which it cannot use ends after so long, to be started again.
LOOK_AGAIN_S = 2.0


class Daemon:
    """One daemon on one node."""

    def __init__(self, config: NodeConfig, place: Place, store: Store, writer: LogWriter) -> None:
        self.config, self.place, self.store = config, place, store
        self.log_writer = writer
        self.keys = Keys.of(config.cluster)
        self.started_wall = time.time()
        self.history = History(store, self.keys, config.node)
        self.state_files = StateFiles(config.state_dir, place.boot_id)
        self._reader = ConfigReader(config.state_dir, config.cluster, config.cluster_key)
        self.notifier = Notifier()
        self.exit_code = 0
        self._ended = asyncio.Event()
        self._troubles = Troubles(config.state_dir, self._post)
        self.tasks = Tasks(self._troubles.of_task)
        self._config_reading = ConfigReading(self._reader, self.tasks, lambda: self.state, self._post)
        self._namesake = Namesake(config, self.state_files, self.tasks, self._post)
        context = node_context(config, place, self.tasks)
        self._second_stage = stage = SecondStage(config, context, self._note, self._troubles.tell)
        self._actions = Actions(context, config.cluster, self._post, stage.settled, stage.balancer_resource)
        self._fencer = Fencer(place.daemon_cgroup, self._post)
        self.watchdog = WatchdogFollower(config.watchdog, self._post)
        self.etcd_access = EtcdAccess(config, self._note)
        self.etcd_observer = EtcdObserver(config, store, self._note)
        self.last_known = LastKnown(config.state_dir, self.keys, self._reader.last)
        self._guard: GuardLink
        self._registrar: Registrar
        self._keeper = StateKeeper(self.state_files, lambda: self.state, self._troubles.of_state_dir)
        self._link: StoreLink
        self._loop: Loop

    # --- for the API and the command line --------------------------------------------------------------------

    @property
    def state(self) -> ReadState:
        """The state of the decide side."""
        return self._loop.state

    @property
    def haproxy(self) -> HaproxyManager | None:
        """This node's HAProxy."""
        balancer = self._second_stage.balancer
        return balancer.manager if balancer else None

    @property
    def metrics(self) -> Metrics:
        """This daemon's metrics."""
        return self._second_stage.metrics

    @property
    def health(self) -> NodeHealth | None:
        """The health of the servers, by this node's HAProxy; None until it was asked."""
        return self._second_stage.health.health if self._second_stage.health else None

    @property
    def hooks(self) -> Hooks | None:
        """The hooks of the configuration; None: it has none."""
        return self._second_stage.hooks

    @property
    def checks(self) -> Mapping[str, CheckReport]:
        """This node's health checks, with their last values."""
        known = self._second_stage.node_health
        return known.checks if known else {}

    @property
    def asking_problem(self) -> str:
        """Why guards are not asked."""
        return self._second_stage.asker.problem if self._second_stage.asker else ""

    @property
    def log_lines_lost(self) -> int:
        """How many lines could not be written."""
        return self.log_writer.lost

    def now(self) -> Instant:
        """Both clocks."""
        return read_clocks()

    async def blocking(self, call: Callable[..., Any], *args: Any) -> Any:
        """Run a blocking store call on a thread."""
        return await self._link.blocking(call, *args)

    async def query(self, call: Callable[..., Any], *args: Any) -> Any:
        """The same, for a request."""
        return await self._link.query(call, *args)

    # --- life ------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Until told to end, or until there is a reason to; returns the exit status."""
        self.state_files.lock()
        self._fencer.sweep()
        self._guard = await open_link(guard_spec(self.config, self.place))
        self._registrar = Registrar(
            self.state_files,
            self._guard,
            self._actions.resource,
            self._ask_guard,
            self._refused,
            self._keeper.begin,
            lambda session_id: self.state_files.hold(self.config.run_dir, session_id),
        )
        state = decide.new_state(self.keys, await self._boot())
        self._link = StoreLink(self.store, self.keys, self._post, self._measure)
        self._loop = Loop(state, self._carry_out, self._look)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_end_signal)
        self.history.attach(lambda: self.state, self._took_over, self._second_stage.told)
        loop.set_exception_handler(self._callback_failed)
        self.tasks.keep("wait for the guard", self._await_guard, give_up=self._guard_silent)
        self.tasks.keep("watchdog", lambda: self.watchdog.run(self._guard))
        self.tasks.keep("state on disk", lambda: self._keeper.run(self._registrar))
        self.tasks.keep("systemd", self._tell_systemd)
        run_dir = RunDir(self.config.run_dir)
        check = SelfCheck(self.log_writer, run_dir, self._troubles.tell, self._run_dir_emptied)
        self.tasks.keep("look at itself", check.run)
        self.tasks.keep("history", self.history.run)
        self.tasks.keep("way to etcd", self.etcd_access.run)
        self.tasks.keep("state of etcd", lambda: self.etcd_observer.run(lambda: self.state))
        self.tasks.keep("last known", lambda: self.last_known.run(lambda: self.state))
        resource = self._actions.resource
        self.tasks.keep("start", lambda: self._second_stage.run(self, self._guard, self._post, resource))
        self._post(events.Tick())
        await self._ended.wait()
        await self._close()
        return self.exit_code

    async def _boot(self) -> events.Boot:
        """The facts at the start, the guard's answer included."""
        answer = await self._guard.adopt()
        status = answer.status
        if not answer.ok or status is None:
            raise GuardError(f"the guard refuses this daemon: {answer.problem}")
        if stop := read_stop_record(self.config.state_dir):
            log.error("guard_stopped_everything", **stop)
            forget_stop_record(self.config.state_dir)
        known = self.state_files.known()
        self._keeper.session_id = known.session_id
        facts = events.GuardFacts(
            status.session_id, status.valid_until, status.phase != "holding", status.exclusive, status.incarnation
        )
        return events.Boot(
            self.config.node,
            self.place.machine_id,
            self.place.boot_id,
            uuid.uuid4().hex[:12],
            facts,
            known.identity,
            known.revision,
            known.session_id,
            self.state_files.leftovers(),
            self.state_files.started_since_boot(),
            self.state_files.held(self.config.run_dir),
            self.state_files.disowned(),
            known.session_revision,
        )

    async def _close(self) -> None:
        self.notifier.stopping()
        self._loop.stop()
        self._registrar.close()
        await self._keeper.persist_soon()
        await self.tasks.close()
        await self._actions.close()
        await self._second_stage.close()
        await self._guard.close(end=self.state.release_on_exit)
        self._link.close()

    def _on_end_signal(self) -> None:
        self.tasks.once("end", self._end(), lambda _: self._post(events.Shutdown(False)))

    async def _end(self) -> None:
        release = self.config.on_sigterm == "release" or await machine_goes_down()
        self._post(events.Shutdown(release))
        log.info("asked_to_end", release=release)
        self.notifier.status("releasing what runs here" if release else "leaving what runs here running")

    async def _run_dir_emptied(self) -> None:
        await self._actions.look_again()
        self._second_stage.run_dir_emptied()

    # --- events and effects ----------------------------------------------------------------------------------

    def _post(self, event: events.Event) -> None:
        self._loop.post(event)

    def _look(self) -> None:
        """After every step, for the parts that follow the state beside the decide side."""
        state = self._loop.state
        self._actions.look(state)
        self.history.look(state, read_clocks())
        self._second_stage.look(state)

    def _carry_out(self, effect: effects.Effect) -> None:
        match effect:
            case effects.SendTxn() | effects.Relist():
                self._link.carry_out(effect)
            case effects.ReadConfig():
                self._config_reading.carry_out(effect)
            case effects.Act() | effects.Announce() | effects.StopAnnouncing() | effects.LeaveAlone():
                self._actions.carry_out(effect)
            case effects.GuardBegin() | effects.GuardExtend() | effects.GuardRegister() | effects.GuardUnregister():
                self._tell_guard(effect)
            case effects.KeepStarted():
                self.tasks.once("definition of a group", self._registrar.carry_out(effect))
            case effects.WriteMember():
                self.tasks.once("member record", self._write_member(effect))
            case effects.Note():
                self._note(effect.event, effect.data)
            case effects.SelfFence():
                self._self_fence(effect.reason)
            case effects.FenceAct() | effects.FenceCancel():
                self._fencer.carry_out(effect, self.state.cluster, self.tasks)
            case effects.AskGuard():
                self._second_stage.ask(effect)
            case effects.Identify() | effects.ProbeOriginal() | effects.Disown():
                self._namesake.carry_out(effect)
            case effects.Exit():
                self._exit(effect)

    def _exit(self, effect: effects.Exit) -> None:
        self.exit_code = effect.code
        self._ended.set()
        (log.info if effect.code == 0 else log.error)("daemon_ends", reason=effect.reason, code=effect.code)

    def _self_fence(self, reason: str) -> None:
        log.critical("self_fence", reason=reason)
        self.tasks.keep("self-fence", lambda: self_fence(self.config.self_fence, self._guard, reason))

    def _refused(self, name: str, problem: str) -> None:
        self._post(events.GuardAnswered(name, False, problem))

    async def _ask_guard(self, name: str, request: Awaitable[Any]) -> None:
        """Send the guard a message; its answer becomes an event where it is waited for. No answer in time is the
        same as a dead guard: nobody could tell whether it holds the deadline."""
        try:
            answer = await request
        except GuardError as error:
            self._guard_silent(str(error))
            return
        if name and (name != "extend" or not answer.ok):
            self._post(events.GuardAnswered(name, answer.ok, answer.problem))

    def _tell_guard(self, effect: GuardMessage) -> None:
        """Each failure is reported: a guard that does not know of it has another deadline, or stops something else."""
        work = self._registrar.carry_out(effect)
        if isinstance(effect, effects.GuardRegister):
            name = f"{effect.group.name}/{effect.resource.name}"
            self.tasks.once("register", work, partial(self._refused, name))
        else:
            kind = type(effect).__name__.removeprefix("Guard").lower()
            self.tasks.once(f"word to the guard: {kind}", work, self._guard_silent)

    def _guard_silent(self, problem: str) -> None:
        self._post(events.GuardLost())
        log.error("guard_silent", problem=problem)

    def _note(self, event: str, data: dict[str, Any]) -> None:
        self.history.note(event, data, read_clocks())
        self._second_stage.count(lambda metrics: metrics.note(event, data))

    def _measure(self, purpose: Purpose, seconds: float, outcome: str) -> None:
        self.etcd_observer.observe_txn(outcome)
        self._second_stage.count(lambda metrics: metrics.observe_txn(purpose, seconds, outcome))

    def _took_over(self, done: Timeline) -> None:
        self._second_stage.count(lambda metrics: metrics.observe_timeline(done))

    # --- beside the loop -------------------------------------------------------------------------------------

    def _callback_failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception that the event loop has no other handler for."""
        self.tasks.failures["callback"] += 1
        log.error("callback_failed", message=context.get("message", ""), exc_info=context.get("exception"))

    async def _write_member(self, effect: effects.WriteMember) -> None:
        member = await asyncio.to_thread(member_of, self.config.node, effect)
        txn = member_txn(self.keys, member, effect.session_revision)
        with contextlib.suppress(StoreError):
            await self.blocking(lambda: self.store.txn(txn, timeout_s=2.0))

    async def _await_guard(self) -> None:
        reason = await asyncio.shield(self._guard.lost)
        self._post(events.GuardLost())
        log.error("guard_gone", reason=reason)

    async def _tell_systemd(self) -> None:
        """Ready once the store has answered, or it is plain that it does not: a node must come up without etcd.
        Alive as long as the loop decides: this task would go on without it."""
        interval = self.notifier.watchdog_s or 1.0
        began, decided = time.monotonic(), -1
        while True:
            state = self.state
            if state.phase != "listing" or time.monotonic() - began > 5.0:
                self.notifier.ready()
            self.notifier.status(in_a_line(state))
            if self._loop.decided != decided:
                decided = self._loop.decided
                self.notifier.alive()
            await asyncio.sleep(min(interval / 2, 1.0))


async def _main(config: NodeConfig, writer: LogWriter) -> int:
    return await Daemon(config, find_place(config), open_etcd(config), writer).run()


def run(path: Path) -> int:
    """`hactl daemon`: read node.toml and run until the end; the exit status."""
    writer: LogWriter | None = None
    try:
        config = load_node(path)
        writer = setup.configure(config.log_format, config.log_level, config.node)
        core_dump.forbid()
        keep_private()
        make_private(config)
        log.info("daemon_starts", version=__version__, cluster=config.cluster)
        return run_measured(_main(config, writer))
    except UnusableFileError as error:  # it may be written in a moment, at a renewal or a boot: systemd tries again
        setup.say(f"hactl daemon: {error}\n")
        time.sleep(LOOK_AGAIN_S)
        return 1
    except (ConfigErrors, AlreadyRunningError) as error:
        setup.say(f"hactl daemon: {error}\n")
        return 2
    except (GuardError, OSError) as error:  # a full disk, say: systemd tries again
        setup.say(f"hactl daemon: {error}\n")
        return 1
    except Exception:
        log.exception("daemon_crashed")
        return 1
    finally:
        if writer is not None:
            writer.finish(setup.FINISH_S)
