"""A simulated node: a daemon running the very decision code, its guard, and the resources as they really are."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from election.clock import Instant
from election.machine import identity
from election.records import Member
from fencing.guard.state import Adopt, DaemonGone
from hactl.decide import node as decide
from hactl.decide.peers import member_txn
from hactl.decide.planned import left_alone
from hactl.model import effects, events
from tests.simulation import clones, phases
from tests.simulation.brief import brief
from tests.simulation.fence_agents import FenceAgents
from tests.simulation.guard import Guard
from tests.simulation.registrar import Registrar
from tests.simulation.resources import Resources
from tests.simulation.watch import Watch

if TYPE_CHECKING:
    from tests.simulation.world import World


class Daemon:
    """One process of the daemon."""

    def __init__(self, number: int, state: Any) -> None:
        self.number = number
        self.state = state
        self.paused_until = 0.0
        self.inbox: list[events.Event] = []
        self.tick = 0


class SimNode:
    """One machine."""

    guard_class = Guard

    def __init__(self, world: World, name: str, board: str = "") -> None:
        """`board`: what it has in common with no copy of its disk."""
        self.world, self.name = world, name
        self.machine = identity((f"secret-{name}", board or f"board-{name}", ""))
        self.session_ids: set[str] = set()  # of all its sessions
        self.held: list[str] = []  # of those in this boot
        self.unheard = False  # nobody in its network hears it
        self.rates = world.plan.rates[name]
        self.offsets = (world.rng.uniform(0, 1e6), world.rng.uniform(0, 1e6))
        self.wall_offset = world.rng.choice((0.0, -1500.0, 1500.0))  # of its wall clock
        self.powered = False
        self.boots = self.daemons = 0
        self.daemon: Daemon | None = None
        self.frozen_until = self.restart_blocked_until = self.late_writes_until = 0.0
        self.disk: dict[str, Any] = {
            "identity": None, "known": 0, "sid": "", "srev": 0, "specs": {}, "boot": 0, "disowned": (),
        }  # fmt: skip
        self.cuts: dict[str, float] = {}
        self.readiness: dict[str, events.ReadinessLevel] = {}
        self.guard = self.guard_class(self)
        self.resources = Resources(self)
        self.fence_agents = FenceAgents(self)
        self.watch = Watch(self)
        self.registrar = Registrar(self)
        self.power_on()

    # --- clocks and links ---------------------------------------------------------------------------------

    def clock(self) -> Instant:
        """What this node's clocks say now."""
        now = self.world.now
        return Instant(self.offsets[0] + self.rates[0] * now, self.offsets[1] + self.rates[1] * now)

    def time_until(self, deadline: Instant) -> float:
        """True ms until a moment of this node's clocks, by the faster one."""
        clock = self.clock()
        return min((deadline.boot - clock.boot) / self.rates[0], (deadline.raw - clock.raw) / self.rates[1])

    def cut(self, way: str) -> bool:
        """Whether requests or answers are cut off now."""
        return self.cuts.get(way, 0.0) > self.world.now

    def slowness(self) -> float:
        """True ms for each ms of this node's clock, roughly."""
        return 1.0 / self.rates[0]

    # --- power and processes ------------------------------------------------------------------------------

    def power_on(self) -> None:
        """Boot: nothing exclusive runs after a boot."""
        if self.powered or self.world.devices.keep_off(self.name):
            return
        self.powered = True
        self.boots += 1
        self.held = []
        self.frozen_until = 0.0
        self.guard.boot()
        self.start_daemon(self.world.rng.uniform(100, 1500))

    def power_off(self) -> None:
        """The plug is pulled."""
        self.world.say("%s: power off", self.name)
        self.powered = False
        self.end_agents()
        self._daemon_gone()
        self.guard.end()
        self.resources.running.clear()
        self.world.instances.died(self)

    def start_daemon(self, wait: float) -> None:
        """systemd starts it again."""
        boot = self.boots

        def start() -> None:
            if self.powered and self.boots == boot and self.daemon is None:
                if self.frozen():
                    self.start_daemon(self.frozen_until - self.world.now + 1)
                else:
                    self._start()

        self.world.after(wait, start)

    def _start(self) -> None:
        self.end_agents()
        if self.guard.state is None:
            self.guard.start()
        elif self.guard.paused():
            self.start_daemon(200)
            return
        self.daemons += 1
        self.guard.step(Adopt(self.daemons))
        state = self.guard.state
        if state is None:
            return  # its deadline was past: it brought the node down
        facts = events.GuardFacts(
            state.session_id, state.valid_until, state.latched, tuple(state.exclusive), state.incarnation
        )
        disk = self.disk
        boot = events.Boot(
            self.name, f"machine-{self.name}", f"boot-{id(self)}-{self.boots}", self._nonce(), facts,
            disk["identity"], disk["known"], disk["sid"], tuple(disk["specs"].values()), disk["boot"] == self.boots,
            self.held[-1] if self.held else "", disk["disowned"], disk["srev"],
        )  # fmt: skip
        self.fence_agents.begin()
        self.daemon = Daemon(self.daemons, decide.new_state(self.world.keys, boot))
        self.watch.dead = True
        self.world.say("%s: daemon %d starts (guard %s)", self.name, self.daemons, state.phase)
        self.step(events.Watchdog(True) if self.world.plan.watchdogs else events.Tick())
        if self.daemon is not None:
            self.step(events.TimeOfDay(self.world.wall_ms() + self.wall_offset))
        for group in self.readiness:
            self.world.after(self.world.rng.uniform(100, 2500), lambda group=group: self.observe(group))  # type: ignore[misc]

    def _nonce(self) -> str:
        """Never used before, by no copy either."""
        place = list(self.world.nodes.values()).index(self) if self in self.world.nodes.values() else 0
        return f"{self.name}.{place}.{self.boots}.{self.daemons}"

    def _daemon_gone(self) -> None:
        if self.daemon is not None:
            self._persist()
            self.daemon = None

    def end_agents(self) -> None:
        """All agents are killed. A daemon that starts does so with those that the one before it has left."""
        self.fence_agents.end()
        self.resources.end_actions()

    def kill_daemon(self, restart: float | None = None) -> None:
        """kill -9 of the daemon alone: its agents live on as orphans."""
        if self.daemon is None:
            return
        self.world.say("%s: daemon killed", self.name)
        self._daemon_gone()
        if self.guard.state is not None:
            self.guard.step(DaemonGone())
        wait = self.world.rng.uniform(300, 1500) if restart is None else restart
        self.start_daemon(max(wait, self.restart_blocked_until - self.world.now))

    def kill_guard(self) -> None:
        """The guard dies; the daemon notices at once and ends."""
        if self.guard.state is None or self.daemon is None or self.daemon_paused():
            return
        self.world.say("%s: guard killed", self.name)
        self.guard.state = None
        daemon = self.daemon
        self.world.after(2.0, lambda: self.deliver(daemon, events.GuardLost()))

    def frozen(self) -> bool:
        """Whether every process of this node stands still."""
        return self.frozen_until > self.world.now

    def daemon_paused(self) -> bool:
        """Whether the daemon stands still."""
        return self.frozen() or (self.daemon is not None and self.daemon.paused_until > self.world.now)

    def self_fence(self, reason: str) -> None:
        """Reboot at once."""
        self.world.say("%s: self-fence: %s", self.name, reason)
        self.world.checks.self_fenced(self)
        self.power_off()
        self.world.after(self.world.rng.uniform(2000, 8000), self.power_on)

    # --- the daemon ---------------------------------------------------------------------------------------

    def deliver(self, daemon: Daemon | None, event: events.Event) -> None:
        """Bring an event to the daemon that it is for; it waits while that one stands still."""
        if daemon is None or daemon is not self.daemon:
            return
        if self.daemon_paused() or daemon.inbox:
            self._queue(daemon, event)
        else:
            self.step(event)

    def when_awake(self, daemon: Daemon, call: Callable[[], None]) -> None:
        """`call` when the daemon goes on."""
        self.world.at(max(daemon.paused_until, self.frozen_until) + 0.01, call)

    def _queue(self, daemon: Daemon, event: events.Event) -> None:
        if not daemon.inbox:
            self.when_awake(daemon, lambda: self._drain(daemon))
        daemon.inbox.append(event)

    def _drain(self, daemon: Daemon) -> None:
        if daemon is not self.daemon:
            return
        if self.daemon_paused():
            self.when_awake(daemon, lambda: self._drain(daemon))
            return
        inbox, daemon.inbox = daemon.inbox, []
        for event in inbox:
            if daemon is self.daemon:
                self.step(event)

    def step(self, event: events.Event) -> None:
        """The one loop: event in, decide, effects out."""
        daemon, world = self.daemon, self.world
        assert daemon is not None
        state = daemon.state
        now = self.clock()
        if world.trace and not isinstance(event, events.Tick):
            world.say("%s: %s", self.name, brief(event))
        step = decide.step(state, event, now)
        for way in phases.forbidden():
            world.checks.fail("P1", f"{self.name} goes from phase {way}, a way that the table does not have")
        for effect in step.effects:
            if daemon is not self.daemon:
                return
            self.carry_out(daemon, effect)
        if daemon is not self.daemon:
            return
        for group in [group for group in self.disk["specs"] if left_alone(state.view, group, self.name)]:
            del self.disk["specs"][group]
        world.checks.stepped(self)
        self._schedule_tick(daemon, step.wake_ms)

    def _read(self, state: Any, text: str) -> tuple[Any, str]:
        """The configuration; the one kept on disk where this cannot be read and there is none yet."""
        try:
            spec = self.world.specs.get(json.loads(text)["serial"])
        except (ValueError, TypeError, KeyError):
            spec = None
        if spec is not None:
            self.disk["config"] = spec
            return spec, ""
        return (self.disk.get("config") if state.cluster is None else None), "simulated"

    def _schedule_tick(self, daemon: Daemon, wait: float) -> None:
        daemon.tick += 1
        number = daemon.tick

        def tick() -> None:
            if daemon is self.daemon and daemon.tick == number:
                self.deliver(daemon, events.Tick())

        self.world.after(wait * self.slowness() + 0.01, tick)

    def _persist(self) -> None:
        assert self.daemon is not None
        state = self.daemon.state
        self.disk["identity"] = state.identity
        self.disk["known"] = state.known_revision

    # --- effects ------------------------------------------------------------------------------------------

    def carry_out(self, daemon: Daemon, effect: effects.Effect) -> None:
        """Carry out one effect of the daemon's."""
        world = self.world
        if world.trace:
            world.say("%s:     -> %s", self.name, brief(effect))
        match effect:
            case effects.SendTxn():
                world.checks.sent(self, effect)
                number = effect.id
                world.request(
                    self, effect.txn, effect.timeout_ms, effect.purpose,
                    lambda result, refused: self.deliver(daemon, events.TxnDone(number, result, refused)),
                )  # fmt: skip
            case effects.Relist():
                world.list_for(self, effect.timeout_ms, lambda event: self.deliver(daemon, event), effect.id)
            case effects.ReadConfig():
                read = events.Configured(effect.revision, *self._read(daemon.state, effect.text))
                world.after(0.1, lambda: self.deliver(daemon, read))
            case effects.GuardBegin() | effects.GuardExtend() | effects.GuardRegister() | effects.GuardUnregister():
                self.registrar.carry_out(daemon, effect)
            case effects.KeepStarted():
                self.disk["specs"][effect.group.name], self.disk["boot"] = effect.group, self.boots
            case effects.WriteMember():
                member = Member(self.name, effect.address, "simulated", effect.config_revision)
                txn = member_txn(world.keys, member, effect.session_revision)
                world.request(self, txn, 2000.0, "member", lambda result, refused: None)
            case effects.Act():
                self.resources.begin(daemon, effect)
            case effects.FenceAct() | effects.FenceCancel() | effects.AskGuard() | effects.SelfFence():
                self.fence_agents.carry_out(daemon, effect)
            case effects.Identify() | effects.ProbeOriginal() | effects.Disown():
                clones.carry_out(self, daemon, effect)
            case effects.Exit():
                self.kill_daemon(restart=world.rng.uniform(300, 1500))
            case effects.Note():
                world.checks.noted(self, effect)

    def observe(self, group: str) -> None:
        """An observer looks how ready this node is for a group."""
        level = self.readiness[group]
        self.deliver(self.daemon, events.Readiness(group, "simulated", level, f"simulated {level}"))
