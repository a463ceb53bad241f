"""The guard's workers: threads that wait, started and locked in memory beforehand, to stop, kill and fence.

A thread for every step, so that a slow stop delays no other and the main loop never blocks; started when the
step is registered, so that at the deadline nothing has to be had from a starved machine, and so that a
step that could not be taken for want of a thread is refused. They report to the main loop and decide nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from fencing.guard import stop
from fencing.guard.proc import Process, kill_cgroup, populated, run_bounded
from fencing.guard.state import StopStep
from fencing.guard.sys import reboot

# Before a failed attempt is repeated; and how long the stops let the kill of the daemon go first.
RETRY_S = 0.025
_KILL_FIRST_S = 0.05
_KILL_WATCH_S = 0.25
_FENCE_RETRY_S = 0.5
_FENCE_COMMAND_S = 10.0
# The time for a watchdog before another way is taken: it counts whole seconds, and takes its time to reset.
_RESET_S = 4.0

# Locked memory: the stack of every thread counts in full.
STACK_BYTES = 192 * 1024

Post = Callable[[Callable[[], None]], None]


class Worker:
    """A thread that sleeps until it is woken. Woken again while it acts, it acts once more."""

    def __init__(self, name: str, act: Callable[[], None]) -> None:
        """Raises RuntimeError when no thread can be had."""
        self._act = act
        self._wanted = threading.Semaphore(0)
        self._ended = False
        threading.Thread(target=self._run, name=name[:15], daemon=True).start()

    def wake(self) -> None:
        """Act now."""
        self._wanted.release()

    def end(self) -> None:
        """Let the thread go; it finishes its present action."""
        self._ended = True
        self._wanted.release()

    def _run(self) -> None:
        while True:
            self._wanted.acquire()
            if self._ended:
                return
            self._do()

    def _do(self) -> None:
        """Until it is done: an action that failed for want of memory or a descriptor is tried again."""
        while True:
            try:
                self._act()
                return
            except Exception:
                time.sleep(RETRY_S)


class DaemonKiller:
    """Kills the daemon and its agents: its cgroup where it told of one, and the process that adopted the guard
    with its descendants. `dead` is set while that is known to have been done."""

    def __init__(self, post: Post, report: Callable[[str], None]) -> None:
        self._post, self._report = post, report
        self._cgroups: list[str] = []
        self._processes: list[Process] = []
        self.dead = threading.Event()
        self._worker = Worker("kill-daemon", self._act)

    def serve(self, pid: int, cgroup: str | None) -> None:
        """Process `pid` is the daemon now, in `cgroup` (None: a daemon that does not say; the one before it may have).
        Those before it are remembered for as long as something of them lives. Raises OSError when there is no such
        process."""
        self._processes = [process for process in self._processes if process.alive()] + [Process(pid)]
        if cgroup is not None:
            self._cgroups = [other for other in self._cgroups if other != cgroup and populated(other)] + [cgroup]

    def kill(self) -> None:
        """Kill, and go on until everything is dead."""
        self.dead.clear()
        self._worker.wake()

    def _act(self) -> None:
        reported = None
        while True:
            problem = self._attempt()
            if not problem:
                self.dead.set()
            if problem != reported:
                reported = problem
                self._post(lambda text=problem: self._report(text))  # type: ignore[misc]
            if not problem:
                return
            time.sleep(RETRY_S)

    def _attempt(self) -> str:
        try:
            problem = ""
            for cgroup in self._cgroups:
                problem = kill_cgroup(cgroup, _KILL_WATCH_S) or problem
            for process in self._processes:
                problem = process.kill_tree(_KILL_WATCH_S) or problem
            return problem
        except Exception as error:  # not known to be dead
            return f"{type(error).__name__}: {error}"


class _StepWorker:
    """One step's thread and its last problem, "" when verified (None: no result since it was woken)."""

    def __init__(self, job: StopJob, step: StopStep) -> None:
        self.step = step
        self.problem: str | None = "not tried yet"
        self.busy = False
        self.thread = Worker(f"stop-{job.name}", lambda: job.attempt(self))
        self.failures = 0


class StopJob:
    """The stop of one registered name: all its steps at the same time.

    `report(name, stopped, problem)` is called in the main loop: with False for each attempt of a step that
    failed, with True once when all are verified. A result from before the daemon's death does not count: the
    resource might have been put back since. A process of the same name might put things back, too: addresses and
    files are checked once more after the other steps.
    """

    def __init__(
        self,
        name: str,
        steps: Sequence[StopStep],
        killer: DaemonKiller,
        post: Post,
        report: Callable[[str, bool, str], None],
    ) -> None:
        """Raises RuntimeError when no threads can be had."""
        self.name, self._killer, self._post, self._report = name, killer, post, report
        self._confirmed = False
        self._workers: list[_StepWorker] = []
        try:
            for step in steps:
                self._workers.append(_StepWorker(self, step))
        except RuntimeError:
            self.retire()
            raise

    def start(self) -> None:
        """Try every step that is not verified and not being tried."""
        for worker in self._workers:
            if worker.problem != "" and not worker.busy:
                worker.busy = True
                worker.thread.wake()

    def retire(self) -> None:
        """Let the threads go."""
        for worker in self._workers:
            worker.thread.end()

    def problems(self) -> dict[str, str]:
        """The steps not verified, and why."""
        return {stop.label(worker.step): worker.problem or "" for worker in self._workers if worker.problem}

    def attempt(self, worker: _StepWorker) -> None:
        """In the step's thread: try once, and have the outcome handled in the main loop."""
        if worker.failures:
            time.sleep(RETRY_S)
        else:
            self._killer.dead.wait(_KILL_FIRST_S)
        daemon_dead = self._killer.dead.is_set()
        problem = stop.attempt(worker.step)
        if not problem and not daemon_dead:
            problem = "the daemon was not known to be dead yet"
        self._post(lambda: self._came_back(worker, problem))

    def _came_back(self, worker: _StepWorker, problem: str) -> None:
        worker.busy, worker.problem = False, problem
        if problem:
            worker.failures += 1
            self._report(self.name, False, f"{stop.label(worker.step)}: {problem}")
            return
        if any(other.problem != "" or other.busy for other in self._workers):
            return
        if not self._confirmed and self._look_again():
            return
        self._report(self.name, True, "")

    def _look_again(self) -> bool:
        """Once everything is verified, verify again the steps whose effect the others could have undone."""
        self._confirmed = True
        again = [worker for worker in self._workers if worker.step["kind"] in stop.REVOCABLE]
        if len(again) == len(self._workers):
            return False
        for worker in again:
            worker.problem = "to be looked at once more"
        self.start()
        return bool(again)


class SelfFencer:
    """Takes this node down: by `reboot`, by the `watchdog`, by a command (the lab's power switch), or (`log`) not at
    all.

    `trigger_reset`, set where a watchdog is armed, has it reset this machine as soon as it can, and returns the
    problem, or "". It is called beside every other way: a call that hangs here does not hang in the watchdog.
    """

    def __init__(self, method: Sequence[str], post: Post, report: Callable[[str], None]) -> None:
        self.trigger_reset: Callable[[], str] | None = None
        self._method, self._post, self._report = list(method), post, report
        self._worker = Worker("self-fence", self._act)
        self._watchdog_worker = Worker("reset", self._trigger_reset)

    def fence(self) -> None:
        """Do it now, and again until it has worked."""
        if self._method[0] != "log":
            self._watchdog_worker.wake()
        self._worker.wake()

    def _act(self) -> None:
        if self._method[0] == "watchdog" and self.trigger_reset is not None:
            time.sleep(_RESET_S)
        while problem := self._attempt():
            self._tell(problem)
            time.sleep(_FENCE_RETRY_S)

    def _attempt(self) -> str:
        try:
            match self._method[0]:
                case "log":
                    return ""
                case "command":
                    return run_bounded(self._method[1:], _FENCE_COMMAND_S).problem
                case _:
                    return reboot()
        except Exception as error:  # tried again
            return f"{type(error).__name__}: {error}"

    def _trigger_reset(self) -> None:
        try:
            problem = self.trigger_reset() if self.trigger_reset is not None else ""
        except Exception as error:  # the other way goes on
            problem = f"{type(error).__name__}: {error}"
        if problem:
            self._tell(f"watchdog: {problem}")

    def _tell(self, problem: str) -> None:
        self._post(lambda: self._report(problem))
