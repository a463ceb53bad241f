"""The caller's side of the probe: start it in the client's namespace, stop it, know how long the outage was."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from hactl.lab import spawn
from hactl.lab.cgroup import Cgroup
from hactl.lab.spec import CLIENT, LabSpec
from hactl.lab.system import LabError


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer: when it was complete (ms, CLOCK_BOOTTIME), and which node gave it."""

    at_ms: float
    node: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A request without a good answer: when it began and was given up, and why."""

    began_ms: float
    ended_ms: float
    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """All that the client saw between `begin_ms` and `end_ms` (ms, CLOCK_BOOTTIME)."""

    begin_ms: float
    end_ms: float
    answers: tuple[Answer, ...]
    failures: tuple[Failure, ...]

    @property
    def gap(self) -> tuple[float, float]:
        """Begin and end of the longest time without a good answer, the edges of the measurement included."""
        marks = [self.begin_ms, *(answer.at_ms for answer in self.answers), self.end_ms]
        return max(pairwise(sorted(marks)), key=lambda pair: pair[1] - pair[0])

    @property
    def outage_ms(self) -> float:
        """The longest time between two good answers. Without any fault it is about the interval."""
        begin, end = self.gap
        return end - begin

    @property
    def good(self) -> int:
        """How many requests were answered well."""
        return len(self.answers)

    @property
    def failed(self) -> int:
        """How many were not."""
        return len(self.failures)

    @property
    def answers_by_node(self) -> dict[str, int]:
        """Good answers, by the node whose service gave them."""
        return dict(Counter(answer.node for answer in self.answers))

    @property
    def failures_by_reason(self) -> dict[str, int]:
        """Failed requests, by the reason."""
        return dict(Counter(failure.reason for failure in self.failures))

    def summary(self) -> dict[str, Any]:
        """The figures, for JSON."""
        begin, end = self.gap
        return {
            "outage_ms": round(self.outage_ms, 1),
            "gap_begin_ms": round(begin, 1),
            "gap_end_ms": round(end, 1),
            "good": self.good,
            "failed": self.failed,
            "failures_by_reason": self.failures_by_reason,
            "answers_by_node": self.answers_by_node,
            "seconds": round((self.end_ms - self.begin_ms) / 1000, 3),
        }


def read_result(text: str) -> Result:
    """The result that the probe wrote."""
    values = json.loads(text)
    answers = tuple(Answer(at, node) for at, node in values["good"])
    failures = tuple(Failure(began, ended, reason) for began, ended, reason in values["failed"])
    return Result(values["begin_ms"], values["end_ms"], answers, failures)


class Probe:
    """A probe that runs from `start` (or entering the context) to `stop`; `result` is there afterwards."""

    def __init__(
        self,
        spec: LabSpec,
        target: str,
        *,
        path: str = "/",
        interval_ms: float = 10.0,
        timeout_ms: float = 1000.0,
        seconds: float | None = None,
    ) -> None:
        self._spec = spec
        self._timeout_s = timeout_ms / 1000
        self._options = [f"--target={target}", f"--path={path}", f"--interval-ms={interval_ms}"]
        self._options += [f"--timeout-ms={timeout_ms}", *([f"--seconds={seconds}"] if seconds else [])]
        self._process: subprocess.Popen[str] | None = None
        self._output = Path()
        self.result: Result | None = None

    def start(self) -> Self:
        """Returns when it is asking."""
        with tempfile.NamedTemporaryFile(dir=self._spec.path, prefix="probe-", delete=False) as file:
            self._output = Path(file.name)
        argv = [sys.executable, "-I", "-m", "hactl.lab.probe", *self._options, f"--output={self._output}"]
        group = Cgroup(Path(self._spec.cgroup)).child(CLIENT)
        command = spawn.attached(self._spec.namespace(CLIENT), group, argv)
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            raise LabError(f"the probe did not start: {' '.join(command)}")
        return self

    def stop(self) -> Result:
        """Stop asking, wait for the requests that are out, and give the result."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
        return self.wait(self._timeout_s + 10.0)

    def wait(self, deadline_s: float) -> Result:
        """The result, when its time is over."""
        if self.result is None:
            assert self._process is not None, "start it first"
            try:
                self._process.communicate(timeout=deadline_s)
            except subprocess.TimeoutExpired as error:
                self._process.kill()
                self._process.communicate()
                raise LabError(f"the probe did not end within {deadline_s:g} s") from error
            text = self._output.read_text() if self._output.exists() else ""
            self._output.unlink(missing_ok=True)
            if not text:
                raise LabError(f"the probe was killed: exit {self._process.returncode}")
            self.result = read_result(text)
        return self.result

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.stop()
        elif self._process is not None:
            self._process.kill()
            self._process.communicate()
