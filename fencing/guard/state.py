"""The guard's decisions (docs/protocol.md, *Session* 4 and 5), as a pure state machine.

The guard holds the deadline for a daemon that may hang, be killed or be starved. It knows until when the
session is valid and what is exclusive here. At `valid_until - M` it kills the daemon with all its agents,
then stops everything, latched: no later `valid_until` cancels that. At `valid_until - R`, if anything is not
known to be stopped, it fences its own node. Times are in ms on CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from election.clock import Instant, remaining

# One way to stop something for certain, carried out by the guard process: see fencing/guard/stop.py.
StopStep = dict[str, Any]


class Adopt(NamedTuple):
    """A daemon has connected and wants to be the one the guard serves."""

    pid: int


class Begin(NamedTuple):
    """A new session: nothing of an earlier one runs here any more. Takes the latch away."""

    session_id: str
    stop_budget_ms: float
    self_fence_lead_ms: float
    valid_until: Instant


class Extend(NamedTuple):
    """The session was renewed. The budgets come with every deadline: the configuration may have changed them."""

    session_id: str
    stop_budget_ms: float
    self_fence_lead_ms: float
    valid_until: Instant


class Register(NamedTuple):
    """Something exclusive is about to be started; it may be once this is acknowledged.

    A name that is registered already gets the new steps: the resource of the old ones must not run then.
    """

    name: str
    steps: tuple[StopStep, ...]


class Unregister(NamedTuple):
    """The daemon has seen it stopped."""

    name: str


class DaemonGone(NamedTuple):
    """The daemon's connection has ended."""


class Tick(NamedTuple):
    """Time has passed."""


class StopResult(NamedTuple):
    """The guard's own stop of `name` came back; `stopped` is verified, not assumed."""

    name: str
    stopped: bool


class Fence(NamedTuple):
    """The daemon wants this node taken down at once. Nothing is decided here: the deadline holds all the same."""

    reason: str


GuardEvent = Adopt | Begin | Extend | Register | Unregister | DaemonGone | Tick | StopResult


class KillDaemon(NamedTuple):
    """Kill the daemon and every process it has started that is not a resource."""


class Stop(NamedTuple):
    """Stop `name` by `steps`, verify, and report a StopResult."""

    name: str
    steps: tuple[StopStep, ...]


class SelfFence(NamedTuple):
    """Take this node down at once: something exclusive may still run and the lease is about to end."""

    reason: str


class Reply(NamedTuple):
    """Answer to the daemon's last message: `ok` or why not."""

    ok: bool
    problem: str = ""


GuardEffect = KillDaemon | Stop | SelfFence | Reply

_BUDGETS = "the self-fence lead must be shorter than the stop budget"

Phase = Literal["holding", "stopping", "stopped", "fenced"]


@dataclass(slots=True)
class GuardState:
    """All the guard knows. `incarnation` counts the daemons served: the high part of attempt numbers."""

    session_id: str = ""
    valid_until: Instant | None = None
    stop_budget_ms: float = 0.0
    self_fence_lead_ms: float = 0.0
    incarnation: int = 0
    daemon_connected: bool = False
    phase: Phase = "holding"
    exclusive: dict[str, tuple[StopStep, ...]] = field(default_factory=dict)

    @property
    def latched(self) -> bool:
        """The deadline has come once; only a new session takes this away."""
        return self.phase != "holding"


def step(state: GuardState, event: GuardEvent, now: Instant) -> list[GuardEffect]:
    """Change `state` by `event`; returns the effects to carry out. The deadline is looked at before everything
    else: a message that arrives late must not be served first."""
    effects = _deadline(state, now)
    match event:
        case Adopt():
            state.incarnation += 1
            state.daemon_connected = True
            effects.append(Reply(True))
        case DaemonGone():
            state.daemon_connected = False
        case Begin():
            effects.append(_begin(state, event, now))
        case Extend():
            effects.append(_extend(state, event))
            effects += _deadline(state, now)  # a shorter lease may have brought it here
        case Register():
            effects.append(_register(state, event, now))
        case Unregister():
            effects.append(_unregister(state, event))
        case StopResult():
            effects += _stop_result(state, event)
        case Tick():
            pass
    return effects


def next_deadline(state: GuardState) -> Instant | None:
    """When `step` wants a Tick at the latest (None: no need)."""
    if state.valid_until is None or not state.exclusive:
        return None
    if state.phase == "holding":
        return state.valid_until.plus(-state.stop_budget_ms)
    if state.phase == "stopping":
        return state.valid_until.plus(-state.self_fence_lead_ms)
    return None


def _deadline(state: GuardState, now: Instant) -> list[GuardEffect]:
    if state.valid_until is None or not state.exclusive:
        return []
    left = remaining(state.valid_until, now)
    effects: list[GuardEffect] = []
    if state.phase == "holding" and left <= state.stop_budget_ms:
        state.phase = "stopping"
        effects.append(KillDaemon())
        effects += [Stop(name, steps) for name, steps in state.exclusive.items()]
    if state.phase == "stopping" and left <= state.self_fence_lead_ms:
        state.phase = "fenced"
        unknown = ", ".join(sorted(state.exclusive))
        effects.append(SelfFence(f"not known to be stopped when the lease was about to end: {unknown}"))
    return effects


def _begin(state: GuardState, event: Begin, now: Instant) -> Reply:
    if state.exclusive or state.phase in ("stopping", "fenced"):
        return Reply(False, f"still exclusive here: {', '.join(sorted(state.exclusive)) or state.phase}")
    if state.latched and event.session_id == state.session_id:
        # Else beginning the same session again would be the later `valid_until` that takes the latch away.
        return Reply(False, "the deadline of this session has come: it takes a new one")
    if not 0 <= event.self_fence_lead_ms < event.stop_budget_ms:
        return Reply(False, _BUDGETS)
    if remaining(event.valid_until, now) <= 0:
        return Reply(False, "the new session has ended already")
    state.session_id, state.valid_until = event.session_id, event.valid_until
    state.stop_budget_ms, state.self_fence_lead_ms = event.stop_budget_ms, event.self_fence_lead_ms
    state.phase = "holding"
    return Reply(True)


def _extend(state: GuardState, event: Extend) -> Reply:
    if state.latched:
        return Reply(False, "the deadline has come: everything exclusive is being stopped")
    if not 0 <= event.self_fence_lead_ms < event.stop_budget_ms:
        return Reply(False, _BUDGETS)
    if event.session_id != state.session_id or state.valid_until is None:
        return Reply(False, f"the guard holds another session: {state.session_id or 'none'}")
    # The newest word counts, also when it is an earlier deadline: a shorter lease came into use.
    state.valid_until = event.valid_until
    state.stop_budget_ms, state.self_fence_lead_ms = event.stop_budget_ms, event.self_fence_lead_ms
    return Reply(True)


def _register(state: GuardState, event: Register, now: Instant) -> Reply:
    if state.latched:
        return Reply(False, "the deadline has come: nothing may be started")
    if state.valid_until is None or remaining(state.valid_until, now) <= state.stop_budget_ms:
        return Reply(False, "the session is over or about to end")
    state.exclusive[event.name] = event.steps
    return Reply(True)


def _unregister(state: GuardState, event: Unregister) -> Reply:
    if event.name in state.exclusive and state.latched:
        # The daemon's word counts no more: the guard verifies by itself.
        return Reply(False, "the deadline has come: the guard stops it and sees for itself")
    state.exclusive.pop(event.name, None)
    return Reply(True)


def _stop_result(state: GuardState, event: StopResult) -> list[GuardEffect]:
    if not state.latched or event.name not in state.exclusive:
        return []
    if not event.stopped:
        return [Stop(event.name, state.exclusive[event.name])]
    del state.exclusive[event.name]
    if not state.exclusive and state.phase == "stopping":
        state.phase = "stopped"
    return []
