"""The guard's main loop: messages and time in, `guard_state.step`, effects out. It never blocks."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from election.clock import remaining
from fencing.guard import state, stop, wire
from fencing.guard.jobs import DaemonKiller, SelfFencer, StopJob
from fencing.guard.listen import GuardSocket
from fencing.guard.log import Journal
from fencing.guard.proc import in_cgroup
from fencing.guard.responder import Listen, LivenessResponder
from fencing.guard.sys import Timer
from fencing.guard.watchdog import MakeWatchdog
from fencing.linux.clock import now

_MAX_CONNECTIONS = 16
# A look at the clocks now and then, should the timer ever fail; and at whether this guard can be reached.
_LOOK_S = 1.0
_LAST_WORDS_S = 0.02


@dataclass(slots=True)
class Connection:
    """One peer. `daemon`: it has adopted this guard."""

    socket: socket.socket
    pid: int
    daemon: bool = False


class Guard:
    """The running guard. `degraded`: the requests that the kernel refused; told in every status."""

    def __init__(
        self,
        entrance: GuardSocket,
        journal: Journal,
        *,
        self_fence: Sequence[str],
        degraded: Sequence[str],
        watchdog: MakeWatchdog,
    ) -> None:
        self.state = state.GuardState()
        self._entrance, self._journal, self._degraded = entrance, journal, list(degraded)
        self._connections: dict[int, Connection] = {}
        self._jobs: dict[str, StopJob] = {}
        self._posted: deque[Callable[[], None]] = deque()
        self._record: dict[str, Any] | None = None
        self._reported: dict[str, str] = {}
        self._terminate = False
        self._wake_out, self._wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._timer = Timer()
        self._epoll = select.epoll()
        for descriptor in (entrance.fileno(), self._timer.fd, self._wake_out):
            self._epoll.register(descriptor, select.EPOLLIN)
        self._responder = LivenessResponder(self._epoll, journal)
        self._killer = DaemonKiller(self._post, self._daemon_killed)
        self._fencer = SelfFencer(self_fence, self._post, self._fence_failed)
        self._watchdog = watchdog(self._post, journal.event)
        self._fencer.trigger_reset = self._watchdog.trigger_reset if self._watchdog.status(now()) else None

    def run(self) -> None:
        """Guard until SIGTERM (or SIGINT) finds nothing exclusive here."""
        signal.set_wakeup_fd(self._wake_in, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._signalled)
        while not self._terminate:
            try:
                self._once()
            except Exception as error:  # a guard that ends guards nothing: say it, and go on
                self._journal.event("guard_error", error=f"{type(error).__name__}: {error}")
                time.sleep(0.01)
        self._watchdog.close()
        self._entrance.remove()
        self._journal.event("guard_exit")

    def _once(self) -> None:
        at = now()
        self._do(state.step(self.state, state.Tick(), at), None)
        wakes = (state.next_deadline(self.state), self._watchdog.look(self.state, at))
        due = [wake for wake in wakes if wake is not None]
        self._timer.arm(min(due, default=None, key=lambda wake: remaining(wake, at)), at)
        requested = False
        self._keep_reachable()
        for descriptor, _ in self._epoll.poll(self._responder.wake_s(_LOOK_S)):
            if descriptor == self._timer.fd:
                self._timer.drain()
            elif descriptor == self._wake_out:
                self._drain_wake()
            elif descriptor == self._entrance.fileno():
                self._accept()
            elif descriptor in self._connections:
                self._receive(self._connections[descriptor])
            elif descriptor == self._responder.fileno():
                requested = True
        while self._posted:
            self._posted.popleft()()
        # Last: all other work comes before the queries of other nodes.
        if requested:
            self._responder.serve(self.state, now())
        self._responder.reopen()

    # -- connections

    def _keep_reachable(self) -> None:
        """One that nobody can reach any more, and that has nothing to hold, ends."""
        if not self._entrance.keep(self._epoll, self._journal) and not self._holds():
            self._journal.event("guard_unreachable", socket=self._entrance.path)
            self._terminate = True

    def _holds(self) -> bool:
        """Whether there is anything for which this guard is needed."""
        daemon = any(connection.daemon for connection in self._connections.values())
        return daemon or bool(self.state.exclusive) or self.state.phase in ("stopping", "fenced")

    def _accept(self) -> None:
        try:
            peer, _ = self._entrance.listener.accept()
        except OSError:
            return
        pid, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid not in (0, os.geteuid()) or len(self._connections) >= _MAX_CONNECTIONS:
            self._journal.event("connection_refused", pid=pid, uid=uid, open=len(self._connections))
            peer.close()
            return
        peer.setblocking(False)
        self._connections[peer.fileno()] = Connection(peer, pid)
        self._epoll.register(peer.fileno(), select.EPOLLIN)

    def _close(self, connection: Connection) -> None:
        descriptor = connection.socket.fileno()
        if self._connections.pop(descriptor, None) is None:
            return
        self._epoll.unregister(descriptor)
        connection.socket.close()
        if connection.daemon:
            self._journal.event("daemon_gone", pid=connection.pid, phase=self.state.phase)
            self._do(state.step(self.state, state.DaemonGone(), now()), None)

    def _receive(self, connection: Connection) -> None:
        try:
            packet, _, flags, _ = connection.socket.recvmsg(wire.MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            packet, flags = b"", 0
        if not packet:
            self._close(connection)
            return
        answer: dict[str, Any] = {"id": None, "ok": False, "problem": ""}
        try:
            if flags & socket.MSG_TRUNC:
                raise wire.WireError(f"longer than {wire.MAX_MESSAGE} bytes")
            message = wire.decode(packet)
            answer["id"] = message.get("id")
            self._serve(connection, message, answer)
        except wire.WireError as error:
            answer["problem"] = str(error)
        self._send(connection, answer)

    def _send(self, connection: Connection, answer: dict[str, Any]) -> None:
        try:
            connection.socket.send(wire.encode(answer))
        except OSError:  # gone, or it does not read: either way it is not being served any more
            self._close(connection)

    # -- requests

    def _serve(self, connection: Connection, message: dict[str, Any], answer: dict[str, Any]) -> None:
        event = wire.request(message, connection.pid)
        op = message["op"]
        if op == "adopt":
            self._make_room(connection, wire.daemon_cgroup(message))
        elif op in wire.DAEMON_ONLY and not connection.daemon:
            raise wire.WireError("only the daemon that has adopted this guard may do that: adopt first")
        if isinstance(event, Listen | state.Fence):
            answer["problem"] = self._serve_beside(event)
            answer["ok"] = not answer["problem"]
            return
        if event is None:
            answer["ok"] = True
        else:
            prepared = self._prepare(event)
            reply = self._do(state.step(self.state, event, now()), connection)
            answer.update(ok=reply.ok, problem=reply.problem)
            self._settle(event, reply, prepared)
        if op in ("adopt", "begin", "status"):
            answer["state"] = wire.state_document(self.state, now()) | {
                "pid": os.getpid(),
                "daemon_pid": next((peer.pid for peer in self._connections.values() if peer.daemon), None),
                "degraded": self._degraded,
                "stop": self._record,
                "watchdog": self._watchdog.status(now()),
                "dropped": dict(self._responder.dropped),
            }

    def _serve_beside(self, event: Listen | state.Fence) -> str:
        """Requests in which the state machine has no part. Returns the problem, or ""."""
        if isinstance(event, Listen):
            return self._responder.listen(event)
        self._record = self._new_record(event.reason)
        self._self_fence(event.reason)
        return ""

    def _make_room(self, connection: Connection, cgroup: str | None) -> None:
        """Let `connection` become the daemon's, which is in `cgroup`, unless another daemon is being served. Raises
        WireError."""
        for other in list(self._connections.values()):
            if other.daemon and other is not connection and _hung_up(other):
                self._close(other)
        served = next((peer.pid for peer in self._connections.values() if peer.daemon), None)
        if served is not None:
            raise wire.WireError(f"the guard serves another daemon: process {served}")
        problem = stop.check({"kind": "cgroup", "path": cgroup}) if cgroup is not None else ""
        if not problem and cgroup is not None and not in_cgroup(cgroup, connection.pid):
            problem = f"process {connection.pid} is not in the cgroup {cgroup}"
        if problem:
            raise wire.WireError(problem)
        try:
            self._killer.serve(connection.pid, cgroup)
        except OSError as error:
            raise wire.WireError(f"process {connection.pid}: {error.strerror}") from None
        connection.daemon = True

    def _prepare(self, event: state.GuardEvent) -> StopJob | None:
        """Have everything at hand for the stop before something is registered. Raises WireError."""
        if not isinstance(event, state.Register):
            return None
        for stop_step in event.steps:
            if problem := stop.check(stop_step):
                raise wire.WireError(problem)
        if problem := self._watchdog.admit(self.state, now()):
            raise wire.WireError(problem)
        try:
            return StopJob(event.name, event.steps, self._killer, self._post, self._stop_reported)
        except RuntimeError as error:
            raise wire.WireError(f"no thread for the stop of {event.name}: {error}") from None

    def _settle(self, event: state.GuardEvent, reply: state.Reply, prepared: StopJob | None) -> None:
        if isinstance(event, state.Extend) and reply.ok:
            return  # several times a second: not worth a line
        fields = {"name": event.name} if isinstance(event, state.Register | state.Unregister) else {}
        self._journal.event(
            type(event).__name__.lower(), ok=reply.ok, problem=reply.problem, phase=self.state.phase, **fields
        )
        retired = prepared
        if reply.ok and isinstance(event, state.Register | state.Unregister):
            retired = self._jobs.pop(event.name, None)
            if prepared is not None:
                self._jobs[event.name] = prepared
        if retired is not None:
            retired.retire()

    # -- effects

    def _do(self, effects: list[state.GuardEffect], connection: Connection | None) -> state.Reply:
        """Carry out effects; the reply among them is returned."""
        reply = state.Reply(False, "no answer")
        for effect in effects:
            match effect:
                case state.Reply():
                    reply = effect
                case state.KillDaemon():
                    self._latched()
                    self._killer.kill()
                case state.Stop():
                    self._jobs[effect.name].start()
                case state.SelfFence():
                    self._self_fence(effect.reason)
        return reply

    def _latched(self) -> None:
        self._reported.clear()
        self._record = self._new_record(
            f"the session was not renewed in time: {self.state.stop_budget_ms:.0f} ms before its end "
            "everything exclusive had to stop"
        )
        self._keep_record()
        self._journal.event("deadline", **self._record)

    def _new_record(self, reason: str) -> dict[str, Any]:
        return {
            "sid": self.state.session_id,
            "reason": reason,
            "at": time.time(),
            "at_boot_ms": now().boot,
            "daemon_connected": self.state.daemon_connected,
            "names": sorted(self.state.exclusive),
            "outcome": "stopping",
            "problems": {},
        }

    def _keep_record(self) -> None:
        if self._record is not None:
            self._journal.record(dict(self._record))

    def _self_fence(self, reason: str) -> None:
        self._journal.event("self_fence", reason=reason)
        if self._record is not None:
            problems = {name: job.problems() for name, job in self._jobs.items() if name in self.state.exclusive}
            self._record = {**self._record, "outcome": "self-fence", "reason": reason, "problems": problems}
            self._keep_record()
        self._journal.flush(_LAST_WORDS_S)
        self._fencer.fence()

    def _stop_reported(self, name: str, stopped: bool, problem: str) -> None:
        if stopped:
            self._journal.event("stopped", name=name)
            self._reported.pop(name, None)
        elif self._reported.get(name) != problem:
            self._reported[name] = problem
            self._journal.event("not_stopped", name=name, problem=problem)
        was = self.state.phase
        self._do(state.step(self.state, state.StopResult(name, stopped), now()), None)
        if stopped and name in self._jobs:
            self._jobs.pop(name).retire()
        if self.state.phase == "stopped" != was and self._record is not None:
            self._record = {**self._record, "outcome": "stopped", "took_ms": now().boot - self._record["at_boot_ms"]}
            self._keep_record()
            self._journal.event("all_stopped", took_ms=self._record["took_ms"])

    def _daemon_killed(self, problem: str) -> None:
        self._journal.event("daemon_kill_failed" if problem else "daemon_killed", problem=problem)

    def _fence_failed(self, problem: str) -> None:
        self._journal.event("self_fence_failed", problem=problem)

    # -- waking

    def _post(self, call: Callable[[], None]) -> None:
        """From any thread: have `call` made in the main loop."""
        self._posted.append(call)
        with contextlib.suppress(BlockingIOError):  # full: the loop is being woken as it is
            os.write(self._wake_in, b"\0")

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_out, 4096):
                pass

    def _signalled(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            return
        if self.state.exclusive or self.state.phase in ("stopping", "fenced"):
            self._journal.event("signal_ignored", signal=number, exclusive=sorted(self.state.exclusive))
        else:
            self._terminate = True


def _hung_up(connection: Connection) -> bool:
    """Whether the peer has closed, or has died and left its socket to another process."""
    poll = select.poll()
    poll.register(connection.socket, 0)
    if any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0)):
        return True
    try:
        os.kill(connection.pid, 0)
    except OSError as error:
        return isinstance(error, ProcessLookupError)
    return False
