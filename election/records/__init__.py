"""The documents in etcd (docs/protocol.md, *Keys in etcd*), each read by the types of its fields."""

from election.records.document import (
    LONGEST_LEASE_MS,
    NAME,
    STORED_NAMES,
    Count,
    Generation,
    Record,
    RecordError,
    too_deep,
)
from election.records.ownership import GENERATION_BITS, Block, Failure, Flapping, Holder, Ownership, next_epoch
from election.records.reports import (
    CheckReport,
    ClientViewReport,
    DeviceReport,
    GroupReport,
    Member,
    ReadinessReport,
    Report,
    ResourceWarning,
    TargetReport,
    TroubleReport,
)
from election.records.requests import (
    Ban,
    Cleanup,
    Confirm,
    Drain,
    FenceTest,
    Maintenance,
    Move,
    Restart,
    Scheduled,
    Stop,
)
from election.records.session import FenceRecord, Identity, Refusal, Session

__all__ = [
    "GENERATION_BITS", "LONGEST_LEASE_MS", "NAME", "STORED_NAMES", "Ban", "Block", "CheckReport", "Cleanup",
    "ClientViewReport", "Confirm", "Count", "DeviceReport", "Drain", "Failure", "FenceRecord", "FenceTest",
    "Flapping", "Generation",
    "GroupReport", "Holder",
    "Identity", "Maintenance", "Member", "Move", "Ownership", "ReadinessReport", "Record", "RecordError", "Refusal",
    "Report", "ResourceWarning", "Restart", "Scheduled", "Session", "Stop", "TargetReport", "TroubleReport",
    "next_epoch", "too_deep",
]  # fmt: skip
