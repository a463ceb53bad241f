"""When the watchdog is fed, and with which timeout (docs/protocol.md, *Session* 6). Pure.

While something exclusive is registered the watchdog has to reset this machine no later than `valid_until`: it gets the
whole seconds that are left until then. With a lease of 3.75 s that alone would reset the machine 0.75 s early, just
when the guard begins to stop. So it is fed at every renewal and again, without one, whenever the time left has come
down to just above a whole number of seconds: in the end it resets the machine a few hundredths of a second before
`valid_until`, after the guard has had its time.

While nothing is registered it is fed freely, whatever becomes of the session: else every long outage of etcd would
reboot every node. A guard that is new feeds nothing until its daemon begins a session, as only then it is known that
nothing of an earlier one runs here. Times are in ms on both clocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from election.clock import Instant, later, remaining
from fencing.guard.state import GuardState

# A watchdog's second may be this much longer than ours: i6300esb counts 33 MHz / 2^15 as a kilohertz, 1.7 % slow.
WATCHDOG_RATE_MARGIN = 0.02
SECOND_MS = 1000.0 * (1 + WATCHDOG_RATE_MARGIN)
# Without a renewal it is fed this much before the seconds left would be one fewer; the timer is that exact, the
# guard's scheduling as a rule is, too.
LEAD_MS = 30.0
# To feed it is worth while when the reset comes this much nearer to `valid_until`.
GAIN_MS = 20.0

# The timeout while nothing is registered. It is fed, and tried again where that did not work, after a third of it.
FREE_S = 10
_FREE_PART = 3

Use = Literal["off", "use", "required"]
Rule = Literal["closed", "free", "bound"]


@dataclass(slots=True)
class WatchdogState:
    """The state of the watchdog. `armed`: it resets this machine before the lease ends;
    `ends`: by when it does at the latest unless it is fed; `short_s`: so much less than asked for it made of the last
    timeout, and took `took_ms` for it; `tried`: the last attempt to feed or open it; `doubted`: after it could not be
    armed any more, until when this node's session may still say that it is."""

    armed: bool = False
    timeout_s: int = 0
    short_s: int = 0
    took_ms: float = 0.0
    fed: Instant | None = None
    ends: Instant | None = None
    tried: Instant | None = None
    problem: str = ""
    doubted: Instant | None = None


def rule(guard: GuardState) -> Rule:
    """The rule by which the watchdog is fed. `closed`: not at all, whether it runs or not."""
    if not guard.session_id or guard.phase == "fenced":
        return "closed"
    return "bound" if guard.exclusive else "free"


def bound_timeout_s(valid_until: Instant, now: Instant) -> int:
    """The longest timeout that ends before `valid_until`, in whole seconds; 0 or less: there is none."""
    return int(remaining(valid_until, now) // SECOND_MS)


def ends(timeout_s: int, now: Instant) -> Instant:
    """When a watchdog that is fed now has reset the machine, at the latest."""
    return now.plus(timeout_s * SECOND_MS)


def next_look(guard: GuardState, watchdog: WatchdogState, now: Instant) -> Instant | None:
    """When it must be fed, or opened, next (None: no need). Due already where that is not after `now`."""
    rule_now = rule(guard)
    if rule_now == "closed":
        return None
    if watchdog.tried is None:
        return now
    if rule_now == "bound" and watchdog.armed and guard.valid_until and watchdog.ends:
        at = _next_bound(guard.valid_until, watchdog.ends, watchdog.short_s, now)
        return later(at, watchdog.tried.plus(GAIN_MS)) if at else None
    return watchdog.tried.plus((watchdog.timeout_s or FREE_S) * 1000.0 / _FREE_PART)


def _next_bound(valid_until: Instant, resets_at: Instant, short_s: int, now: Instant) -> Instant | None:
    """Now, if that brings the reset nearer to `valid_until`; else when it would."""
    missing = remaining(valid_until, resets_at)
    seconds = bound_timeout_s(valid_until, now)
    if seconds < 1:
        return None
    if missing < 0:  # a shorter lease came into use
        return now
    if remaining(ends(seconds - short_s, now), resets_at) >= GAIN_MS:
        return now
    if missing < LEAD_MS + GAIN_MS:
        return None
    return valid_until.plus(-(seconds * SECOND_MS + LEAD_MS))


def took(
    watchdog: WatchdogState, timeout_s: int, short_s: int, took_ms: float, fed: Instant, resets_at: Instant
) -> None:
    """It was fed at `fed`, with `short_s` less than asked for, and resets the machine by `resets_at` at the latest."""
    watchdog.timeout_s, watchdog.short_s, watchdog.took_ms = timeout_s, short_s, took_ms
    watchdog.fed, watchdog.ends = fed, resets_at


def keeps(watchdog: WatchdogState, valid_until: Instant) -> bool:
    """Whether it is armed, and resets the machine before `valid_until` as it is."""
    return watchdog.armed and watchdog.ends is not None and remaining(valid_until, watchdog.ends) >= 0


def arm(watchdog: WatchdogState) -> None:
    """It was fed by the rule, so that it can be."""
    watchdog.armed, watchdog.problem, watchdog.doubted = True, "", None


def disarm(watchdog: WatchdogState, valid_until: Instant | None, problem: str) -> None:
    """It cannot be fed by the rule. This node's session tells the truth of it again by the next renewal, or is
    over."""
    if watchdog.armed:
        watchdog.doubted = valid_until
    watchdog.armed, watchdog.problem = False, problem


def refusal(use: Use, watchdog: WatchdogState, now: Instant) -> str:
    """Why nothing may be registered now, or ""."""
    if watchdog.armed or use == "off":
        return ""
    if use == "required":
        return f"the watchdog, which this node requires, is not armed: {watchdog.problem or 'not yet'}"
    if watchdog.doubted is not None and remaining(watchdog.doubted, now) > 0:
        return f"the watchdog is not armed any more, which the other nodes may not know yet: {watchdog.problem}"
    return ""


def document(watchdog: WatchdogState, now: Instant) -> dict[str, Any]:
    """Its state for others: `bites_in_s` is the time it leaves at most."""
    return {
        "armed": watchdog.armed,
        "timeout_s": watchdog.timeout_s,
        "last_fed_s": _seconds(-remaining(watchdog.fed, now)) if watchdog.fed else None,
        "bites_in_s": _seconds(remaining(watchdog.ends, now)) if watchdog.ends else None,
        "problem": watchdog.problem,
    }


def _seconds(ms: float) -> float:
    return round(ms / 1000, 3)
