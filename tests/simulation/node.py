"""A simulated node: a daemon running the very decision code, its guard, and the resources as they really are."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from election.clock import Instant
from election.machine import identity
from election.records import Member
from fencing.guard import state as guard
from hactl.decide import node as decide
from hactl.decide.peers import member_txn
from hactl.model import effects, events
from tests.simulation import clones, phases
from tests.simulation.registrar import Registrar

if TYPE_CHECKING:
    from tests.simulation.world import World

Name = tuple[str, str]


class Daemon:
    """One process of the daemon."""

    def __init__(self, number: int, state: Any) -> None:
        self.number = number
        self.state = state
        self.paused_until = 0.0
        self.inbox: list[events.Event] = []
        self.tick = 0
        self.agents: list[list[bool]] = []


class SimNode:
    """One machine."""

    def __init__(self, world: World, name: str, board: str = "") -> None:
        """`board`: what it has in common with no copy of its disk."""
        self.world, self.name = world, name
        self.machine = identity((f"secret-{name}", board or f"board-{name}", ""))
        self.session_ids: set[str] = set()  # of all its sessions
        self.held: list[str] = []  # of those in this boot
        self.unheard = False  # nobody in its network hears it
        self.rates = world.plan.rates[name]
        self.offsets = (world.rng.uniform(0, 1e6), world.rng.uniform(0, 1e6))
        self.powered = False
        self.boots = self.daemons = 0
        self.daemon: Daemon | None = None
        self.guard: guard.GuardState | None = None
        self.guard_paused_until = self.frozen_until = 0.0
        self.guard_inbox: list[tuple[guard.GuardEvent, bool]] = []
        self.running: set[Name] = set()
        self.actions: dict[Name, list[bool]] = {}
        self.disk: dict[str, Any] = {
            "identity": None, "known": 0, "sid": "", "srev": 0, "specs": {}, "boot": 0, "disowned": (),
        }  # fmt: skip
        self.cuts: dict[str, float] = {}
        self.next_rev = 0
        self.watch_dead = True
        self.watch_scheduled = False
        self.lag_until = self.agents_paused_until = self.slow_stops_until = self.restart_blocked_until = 0.0
        self.late_writes_until = self.between_until = self.deaf_until = 0.0
        self.fence_agent_of: dict[int, list[bool]] = {}
        self.ended_actions: set[int] = set()
        self.untold_until: dict[str, float] = {}
        self.fence_agents: list[list[bool]] = []
        self.readiness: dict[str, events.ReadinessLevel] = {}
        self.registrar = Registrar(self)
        self.watchdog_at: float | None = None
        self.power_on()

    # --- clocks and links ---------------------------------------------------------------------------------

    def clock(self) -> Instant:
        """What this node's clocks say now."""
        now = self.world.now
        return Instant(self.offsets[0] + self.rates[0] * now, self.offsets[1] + self.rates[1] * now)

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
        self.watchdog_at = None
        self.boots += 1
        self.guard = None
        self.held = []
        self.guard_paused_until = self.frozen_until = 0.0
        self.start_daemon(self.world.rng.uniform(100, 1500))

    def power_off(self) -> None:
        """The plug is pulled."""
        self.world.say("%s: power off", self.name)
        self.powered = False
        self.watchdog_at = None
        self._agents_end()
        self._daemon_gone()
        self.guard = None
        self.running.clear()
        for flag in self.actions.values():
            flag[0] = False
        self.actions.clear()

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
        self._orphans_end()
        if self.guard is None:
            self.guard = guard.GuardState()
            self.guard_inbox.clear()
        elif self.guard_paused():
            self.start_daemon(200)
            return
        self.daemons += 1
        self.guard_step(guard.Adopt(self.daemons))
        state = self.guard
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
        self.fence_agent_of.clear()
        self.ended_actions.clear()
        self.daemon = Daemon(self.daemons, decide.new_state(self.world.keys, boot))
        self.watch_dead = True
        self.world.say("%s: daemon %d starts (guard %s)", self.name, self.daemons, state.phase)
        self.step(events.Watchdog(True) if self.world.plan.watchdogs else events.Tick())
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

    def _agents_end(self) -> None:
        for flag in self.fence_agents:
            flag[0] = False
        self.fence_agents.clear()

    def _orphans_end(self) -> None:
        """A daemon that starts first ends what is left of the agents of the one before it."""
        self._agents_end()
        for flag in self.actions.values():
            flag[0] = False
        self.actions.clear()

    def kill_daemon(self, restart: float | None = None) -> None:
        """kill -9 of the daemon alone: its agents live on as orphans."""
        if self.daemon is None:
            return
        self.world.say("%s: daemon killed", self.name)
        self._daemon_gone()
        if self.guard is not None:
            self.guard_step(guard.DaemonGone())
        wait = self.world.rng.uniform(300, 1500) if restart is None else restart
        self.start_daemon(max(wait, self.restart_blocked_until - self.world.now))

    def kill_guard(self) -> None:
        """The guard dies; the daemon notices at once and ends."""
        if self.guard is None or self.daemon is None or self.daemon_paused():
            return
        self.world.say("%s: guard killed", self.name)
        self.guard = None
        daemon = self.daemon
        self.world.after(2.0, lambda: self.deliver(daemon, events.GuardLost()))

    def frozen(self) -> bool:
        """Whether every process of this node stands still."""
        return self.frozen_until > self.world.now

    def daemon_paused(self) -> bool:
        """Whether the daemon stands still."""
        return self.frozen() or (self.daemon is not None and self.daemon.paused_until > self.world.now)

    def guard_paused(self) -> bool:
        """Whether the guard stands still."""
        return self.frozen() or self.guard_paused_until > self.world.now

    # --- the daemon ---------------------------------------------------------------------------------------

    def deliver(self, daemon: Daemon | None, event: events.Event) -> None:
        """Bring an event to the daemon that it is for; it waits while that one stands still."""
        if daemon is None or daemon is not self.daemon:
            return
        if self.daemon_paused() or daemon.inbox:
            self._queue(daemon, event)
        else:
            self.step(event)

    def _queue(self, daemon: Daemon, event: events.Event) -> None:
        if not daemon.inbox:
            self.world.at(max(daemon.paused_until, self.frozen_until) + 0.01, lambda: self._drain(daemon))
        daemon.inbox.append(event)

    def _drain(self, daemon: Daemon) -> None:
        if daemon is not self.daemon:
            return
        if self.daemon_paused():
            self.world.at(max(daemon.paused_until, self.frozen_until) + 0.01, lambda: self._drain(daemon))
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
            case effects.WriteMember():
                member = Member(self.name, effect.address, "simulated", effect.config_revision)
                txn = member_txn(world.keys, member, effect.session_revision)
                world.request(self, txn, 2000.0, "member", lambda result, refused: None)
            case effects.Act():
                self.act(daemon, effect)
            case effects.FenceAct() | effects.FenceCancel() | effects.AskGuard() | effects.SelfFence():
                self._carry_out_fencing(daemon, effect)
            case effects.Identify() | effects.ProbeOriginal() | effects.Disown():
                clones.carry_out(self, daemon, effect)
            case effects.Exit():
                self.kill_daemon(restart=world.rng.uniform(300, 1500))
            case effects.Note():
                world.checks.noted(self, effect)

    def act(self, daemon: Daemon, act: effects.Act) -> None:
        """An agent carries out an action; a newer one on the same resource ends the one before it."""
        world, rng, plan = self.world, self.world.rng, self.world.plan
        name = (act.group, act.resource.name)
        if name in self.actions:
            self.actions[name][0] = False
        alive = [True]
        self.actions[name] = alive
        session_id = daemon.state.session.session_id  # the daemon may be dead when the action begins
        delay = rng.uniform(0.2, 5)
        if act.action == "start" and self.agents_paused_until > world.now:
            delay = self.agents_paused_until - world.now

        def begin() -> None:
            if self._later(alive, begin):
                return
            broken = plan.broken.get((self.name, act.group))
            if act.action == "start" and broken == "start":  # in vain, though something of it may be left running
                self.running.add(name)
                world.checks.started(self, act, session_id)
                end(rng.uniform(*plan.start_ms), False, "running")
            elif act.action == "start" and broken:
                end(1e9 if broken == "hang" else rng.uniform(*plan.start_ms), False, "broken")
            elif act.action == "start":
                self.running.add(name)
                world.checks.started(self, act, session_id)
                end(rng.uniform(*plan.start_ms), rng.random() >= plan.failing, "running")
            elif act.action == "stop":
                slow = self.slow_stops_until > world.now
                end(rng.uniform(*plan.stop_ms) * (20 if slow else 1), self._stops(act.group), "stopped")
            elif act.action == "kill":
                end(rng.uniform(5, 60), self._stops(act.group), "stopped")
            else:
                end(rng.uniform(1, 20), not self.untold(act.group), "probe")

        def end(wait: float, ok: bool, becomes: str) -> None:
            late = wait > act.timeout_ms
            world.after(min(wait, act.timeout_ms), lambda: finish(ok and not late, becomes))

        def finish(ok: bool, becomes: str) -> None:
            if self._later(alive, lambda: finish(ok, becomes)):
                return
            self.actions.pop(name, None)
            if becomes == "stopped" and ok:
                world.checks.stopped(self, name)
                self.running.discard(name)
            if becomes == "running" and not ok and rng.random() < 0.5:
                self.running.discard(name)
            health: Any = "running" if name in self.running else "stopped"
            self.deliver(daemon, events.Acted(act.id, ok, health if ok else "failed", "" if ok else "simulated"))

        world.after(delay, begin)

    def untold(self, group: str) -> bool:
        """Whether nobody can tell now whether the group runs here, nor stop it: what does both is broken."""
        broken = self.world.plan.broken.get((self.name, group)) == "probe"
        return broken or self.untold_until.get(group, 0.0) > self.world.now

    def _stops(self, group: str) -> bool:
        """Whether a stop succeeds now."""
        if self.world.unstoppable.get(group, 0.0) > self.world.now or self.untold(group):
            return False
        return self.world.rng.random() >= self.world.plan.failing

    def _later(self, alive: list[bool], again: Callable[[], None]) -> bool:
        """Whether an agent is to do nothing now: it was ended, or it stands still with the whole node."""
        if not alive[0] or not self.powered:
            return True
        if self.frozen():
            self.world.at(self.frozen_until + 0.02, again)
            return True
        return False

    def _carry_out_fencing(
        self, daemon: Daemon, effect: effects.FenceAct | effects.FenceCancel | effects.AskGuard | effects.SelfFence
    ) -> None:
        match effect:
            case effects.FenceCancel():
                self.world.after(1.0, lambda: self._end_action(daemon, effect.id))
            case effects.FenceAct():
                wait = max(0.0, self.between_until - self.world.now)
                self.world.after(wait, lambda: self._fence(daemon, effect))
            case effects.AskGuard():
                self._ask_guard(daemon, effect)
            case effects.SelfFence():
                group, slash, _ = effect.reason.partition("/")
                if slash:  # for a group; else since its guard is dead
                    self.world.checks.took_itself_down(self, group)
                self.self_fence(effect.reason)

    def _fence(self, daemon: Daemon, act: effects.FenceAct) -> None:
        if act.id in self.ended_actions:
            return
        if daemon is self.daemon and not self.daemon_paused():
            self.fence_agent_of[act.id] = self.world.devices.perform(self, daemon, act)
        elif daemon is self.daemon:
            self.world.at(max(daemon.paused_until, self.frozen_until) + 0.01, lambda: self._fence(daemon, act))

    def _end_action(self, daemon: Daemon, number: int) -> None:
        """An agent is ended before its time, and seen dead."""
        if daemon is not self.daemon:
            return
        self.ended_actions.add(number)
        alive = self.fence_agent_of.pop(number, [True])
        if alive[0]:  # else it has ended by itself, and its outcome is on its way
            alive[0] = False
            self.deliver(daemon, events.FenceActed(number, False, "unknown", "ended"))

    def _ask_guard(self, daemon: Daemon, ask: effects.AskGuard) -> None:
        """A datagram to a peer's guard, and one back."""
        world, other = self.world, self.world.nodes[ask.node]

        def arrive() -> None:
            state = other.guard
            if state is not None and other.powered and not other.guard_paused() and not other.cut("answers"):
                holds = state.session_id == ask.session_id and state.phase in ("holding", "stopping")
                world.after(
                    world.delay(), lambda: self.deliver(daemon, events.GuardTold(ask.node, ask.session_id, holds))
                )

        if not self.cut("requests") and world.rng.random() >= world.plan.loss:
            world.after(world.delay(), arrive)

    def die(self, name: Name) -> None:
        """A resource ends by itself."""
        if name in self.running and name not in self.actions:
            self.running.discard(name)
            self.world.say("%s: %s/%s dies", self.name, *name)
            daemon = self.daemon
            self.world.after(5, lambda: self.deliver(daemon, events.Observed(*name, "stopped", "died")))

    def observe(self, group: str) -> None:
        """An observer looks how ready this node is for a group."""
        level = self.readiness[group]
        self.deliver(self.daemon, events.Readiness(group, "simulated", level, f"simulated {level}"))

    def self_fence(self, reason: str) -> None:
        """Reboot at once."""
        self.world.say("%s: self-fence: %s", self.name, reason)
        self.world.checks.self_fenced(self)
        self.power_off()
        self.world.after(self.world.rng.uniform(2000, 8000), self.power_on)

    # --- the guard ----------------------------------------------------------------------------------------

    def to_guard(self, daemon: Daemon, name: str, event: guard.GuardEvent) -> None:
        """A message from the daemon to the guard, and the answer back."""

        def arrive() -> None:
            if daemon is not self.daemon or self.guard is None:
                return
            if self.guard_paused() or self.guard_inbox:
                self._guard_later(event, name)
            else:
                self.guard_step(event, name)

        self.world.after(0.1, arrive)

    def _guard_later(self, event: guard.GuardEvent, name: str) -> None:
        if not self.guard_inbox:
            self.world.at(max(self.guard_paused_until, self.frozen_until) + 0.01, self._guard_drain)
        self.guard_inbox.append((event, name))  # type: ignore[arg-type]

    def _guard_drain(self) -> None:
        if self.guard is None:
            return
        if self.guard_paused():
            self.world.at(max(self.guard_paused_until, self.frozen_until) + 0.01, self._guard_drain)
            return
        inbox, self.guard_inbox = self.guard_inbox, []
        for event, name in inbox:
            if self.guard is not None:
                self.guard_step(event, name)  # type: ignore[arg-type]

    def guard_step(self, event: guard.GuardEvent, name: str = "") -> None:
        """The guard's loop."""
        state, world = self.guard, self.world
        assert state is not None
        daemon = self.daemon
        for effect in guard.step(state, event, self.clock()):
            if self.guard is not state:
                return
            match effect:
                case guard.KillDaemon():
                    world.say("%s: guard kills the daemon and its agents", self.name)
                    world.checks.guard_fired(self)
                    self._orphans_end()
                    self.kill_daemon()
                case guard.Stop():
                    self._guard_stop(state, effect.name)
                case guard.SelfFence():
                    self.self_fence(effect.reason)
                    return
                case guard.Reply():
                    if name and (name != "extend" or not effect.ok):
                        reply = events.GuardAnswered(name, effect.ok, effect.problem)
                        world.after(0.1, lambda reply=reply: self.deliver(daemon, reply))  # type: ignore[misc]
        self._guard_tick(state)

    def _guard_stop(self, state: guard.GuardState, name: str) -> None:
        group, _, resource = name.partition("/")
        rng = self.world.rng

        def stopped() -> None:
            if self.guard is not state or not self.powered:
                return
            if self.guard_paused():
                self.world.at(max(self.guard_paused_until, self.frozen_until) + 0.01, stopped)
                return
            ok = self._stops(group)
            if ok:
                self.world.checks.stopped(self, (group, resource))
                self.running.discard((group, resource))
            self.guard_step(guard.StopResult(name, ok))

        self.world.after(rng.uniform(5, 80), stopped)

    def _watchdog(self, state: guard.GuardState) -> None:
        """Fed up to the end of what the guard holds; freely while it holds nothing, once it knows that nothing runs."""
        if not self.world.plan.watchdogs or not state.session_id:
            return
        if not state.exclusive or state.valid_until is None:
            self.watchdog_at = None
            return
        clock, until = self.clock(), state.valid_until
        at = self.world.now + min((until.boot - clock.boot) / self.rates[0], (until.raw - clock.raw) / self.rates[1])
        if self.watchdog_at is not None and at > self.watchdog_at and state.latched:
            return  # it is not fed any more
        self.watchdog_at = at

        def trigger_reset() -> None:
            if self.powered and self.watchdog_at == at:
                self.self_fence("the watchdog's time is over")

        self.world.at(at, trigger_reset)

    def _guard_tick(self, state: guard.GuardState) -> None:
        self._watchdog(state)
        deadline = guard.next_deadline(state)
        if deadline is None:
            return
        clock = self.clock()
        wait = max(
            0.0,
            min((deadline.boot - clock.boot) / self.rates[0], (deadline.raw - clock.raw) / self.rates[1]),
        )

        def tick() -> None:
            if self.guard is not state or not self.powered:
                return
            if self.guard_paused():
                self.world.at(max(self.guard_paused_until, self.frozen_until) + 0.01, tick)
            elif guard.next_deadline(state) == deadline:
                self.guard_step(guard.Tick())

        self.world.after(wait + 0.01, tick)

    # --- the watch ----------------------------------------------------------------------------------------

    def rewatch(self, start: int) -> None:
        """A new watch."""
        self.next_rev, self.watch_dead = start, False
        self.watch_soon()

    def watch_soon(self) -> None:
        """Something may have changed: the watch tells after a while."""
        if self.watch_scheduled or self.watch_dead:
            return
        self.watch_scheduled = True
        wait = self.world.delay()
        if self.lag_until > self.world.now:
            wait += self.world.rng.uniform(100, 3000)
        self.world.after(wait, self._watch)

    def _watch(self) -> None:
        self.watch_scheduled = False
        if self.watch_dead or self.daemon is None:
            return
        if self.cut("answers") or self.world.store_away():
            self.watch_scheduled = True
            self.world.after(200, self._watch)
            return
        batch = self.world.changes(self.next_rev)
        if batch is None:
            self.watch_dead = True
            self.deliver(self.daemon, events.WatchEnded("compacted"))
        elif batch.revision >= self.next_rev:
            self.next_rev = batch.revision + 1
            self.deliver(self.daemon, events.Watched(batch))


def brief(effect: Any) -> str:
    """An event or effect in a line of the transcript."""
    match effect:
        case events.Watched():
            return "watch: " + ", ".join(
                ("-" if c.deleted else "+") + "/".join(c.kv.key.split("/")[3:]) + f"@{c.kv.mod_revision}"
                for c in effect.batch.changes
            )
        case events.Listed():
            return f"list @{effect.snapshot.revision}"
        case events.TxnDone():
            outcome = "no answer" if effect.result is None else "ok" if effect.result.succeeded else "failed"
            return f"txn {effect.id}: {outcome}" + (f" @{effect.result.revision}" if effect.result else "")
        case effects.SendTxn():
            return f"txn {effect.id} {effect.purpose}"
        case effects.Act():
            return f"{effect.action} {effect.group}/{effect.resource.name} (epoch {effect.epoch & ((1 << 44) - 1)})"
        case effects.GuardRegister():
            return f"register {effect.group.name}/{effect.resource.name}"
        case events.Configured():
            return f"configuration @{effect.revision}"
    return str(effect)
