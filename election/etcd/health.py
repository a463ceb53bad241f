"""A look at every endpoint of etcd at the same time: what it says of itself and of the members, and whether a read
that needs a majority is answered there. Beside the calls of the store: nothing here changes which endpoint those use.

Source of the messages: etcd 3.6, api/etcdserverpb/rpc.proto (StatusResponse, MemberListResponse); older versions leave
out what they do not know. Alarms are in the status since 3.4; asking for them by their own call would go through raft.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import grpc

from election.etcd.codec import decode
from election.etcd.endpoints import REQUIRE_LEADER, Endpoint
from election.etcd.errors import translate
from election.etcd.facts import EndpointFacts, EtcdMember
from election.etcd.wire import fields
from election.store import StoreRefusedError, StoreUnavailableError

_ALARM = re.compile(r"alarm:(\w+)")
# How long answers are waited for beyond the deadline that gRPC keeps.
_GRACE_S = 0.1


class _Query(NamedTuple):
    """The requests under way to one endpoint. `read_s`: when its read ended."""

    endpoint: Endpoint
    status: Any
    members: Any
    read: Any
    read_s: list[float]


def look(endpoints: Iterable[Endpoint], probe: bytes, timeout_s: float) -> tuple[EndpointFacts, ...]:
    """The facts that each states, in their order. `probe`: a linearizable read. One that does not answer is no error of
    the call. Raises StoreUnavailableError when the store is closed."""
    began = time.monotonic()
    queries = [_ask(endpoint, probe, timeout_s) for endpoint in endpoints]
    return tuple(_facts(query, began, began + timeout_s + _GRACE_S) for query in queries)


def _ask(endpoint: Endpoint, probe: bytes, timeout_s: float) -> _Query:
    channel, token = endpoint.client.channel, endpoint.token_metadata()
    try:
        status = channel.unary_unary("/etcdserverpb.Maintenance/Status", response_deserializer=read_status)
        members = channel.unary_unary("/etcdserverpb.Cluster/MemberList", response_deserializer=read_members)
        read_s: list[float] = []
        read = endpoint.services.range.future(probe, timeout_s, metadata=(REQUIRE_LEADER, *token))
        read.add_done_callback(lambda _: read_s.append(time.monotonic()))
        return _Query(
            endpoint,
            status.future(b"", timeout_s, metadata=token),
            members.future(b"", timeout_s, metadata=token),
            read,
            read_s,
        )
    except ValueError as error:  # gRPC's word for a closed channel
        raise StoreUnavailableError(f"{endpoint.name}: {error}") from None


def _facts(query: _Query, began: float, deadline: float) -> EndpointFacts:
    name = query.endpoint.name
    reply, problem = _result(query.status, name, deadline)
    members, _ = _result(query.members, name, deadline)
    _, unread = _result(query.read, name, deadline)
    if reply is None:
        return EndpointFacts(name, str(problem))
    # Refused for want of a permission: it answered.
    answered = unread is None or isinstance(unread, StoreRefusedError)
    ended = query.read_s[0] if query.read_s else time.monotonic()
    read_ms = (ended - began) * 1000 if answered else None
    facts: EndpointFacts = reply._replace(endpoint=name, members=members or (), read_ms=read_ms)
    return facts


def _result(future: Any, name: str, deadline: float) -> tuple[Any, Exception | None]:
    try:
        return future.result(max(0.0, deadline - time.monotonic())), None
    except grpc.RpcError as error:
        return None, translate(error, name)
    except (grpc.FutureTimeoutError, grpc.FutureCancelledError):
        future.cancel()
        return None, StoreUnavailableError(f"{name}: no answer within the deadline")


def read_status(raw: bytes) -> EndpointFacts:
    """A StatusResponse. Raises WireError."""
    facts: dict[str, Any] = {"alarms": ()}
    numbers = {3: "db_bytes", 4: "leader_id", 5: "raft_index", 9: "db_used_bytes", 12: "quota_bytes"}
    for field, value, text in fields(raw):
        if field == 1:
            header = {number: value for number, value, _ in fields(text)}
            facts.update(cluster_id=header.get(1, 0), member_id=header.get(2, 0), revision=header.get(3, 0))
        elif field == 2:
            facts["version"] = decode(text)
        elif field == 8:
            facts["alarms"] += tuple(_ALARM.findall(decode(text)))
        elif field == 10:
            facts["learner"] = bool(value)
        elif field in numbers:
            facts[numbers[field]] = value
    return EndpointFacts("", **{**facts, "alarms": tuple(sorted(set(facts["alarms"])))})


def read_members(raw: bytes) -> tuple[EtcdMember, ...]:
    """A MemberListResponse. Raises WireError."""
    return tuple(_member(text) for field, _, text in fields(raw) if field == 2)


def _member(raw: bytes) -> EtcdMember:
    texts: dict[int, list[str]] = {2: [], 3: [], 4: []}
    numbers: dict[int, int] = {}
    for field, value, text in fields(raw):
        if field in texts:
            texts[field].append(decode(text))
        else:
            numbers[field] = value
    learner, name = bool(numbers.get(5, 0)), "".join(texts[2])
    return EtcdMember(numbers.get(1, 0), name, tuple(texts[4]), learner, tuple(texts[3]))
