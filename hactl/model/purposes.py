"""The purposes of transactions: each transaction of the decide side has one, for its answer, for logs and metrics."""

from __future__ import annotations

from enum import StrEnum


class Purpose(StrEnum):
    """The values are the label `purpose` of the metrics."""

    ACCEPT = "accept"
    ACQUIRE = "acquire"
    ASK_FENCE = "ask-fence"
    BLOCK = "block"
    CLOSE = "close"
    CONFIRM_SPENT = "confirm-spent"
    DEPOSE = "depose"
    FAILURE = "failure"
    FAILURE_EXPIRED = "failure-expired"
    FENCE_ATTEMPT = "fence-attempt"
    FENCE_FAILED = "fence-failed"
    FENCE_ON = "fence-on"
    FENCE_SAFE = "fence-safe"
    FORGET_REFUSAL = "forget-refusal"
    HANDOFF = "handoff"
    HOLD = "hold"
    LEAVE = "leave"
    LOST = "lost"
    OPEN = "open"
    PLANNED_OVER = "planned-over"
    PROBE = "probe"
    RECLAIM = "reclaim"
    REFUSAL = "refusal"
    RELEASE = "release"
    RENEW = "renew"
    REPORT = "report"
    RESTARTED = "restarted"
    RESUME = "resume"
    SCHEDULED = "scheduled"
    UNMANAGE = "unmanage"
    VOID_MOVE = "void-move"


# They give ownership of a group to this node.
GRANTS = frozenset({Purpose.ACQUIRE, Purpose.ACCEPT, Purpose.RECLAIM, Purpose.RESUME})
# They write the fence record of another node.
FENCE_WRITES = frozenset({Purpose.FENCE_ATTEMPT, Purpose.FENCE_SAFE, Purpose.FENCE_FAILED, Purpose.FENCE_ON})
