"""Messages of other processes and nodes: of the guard, datagrams of peers, HAProxy's answers, the histories in etcd.
Each is read, or refused by the one error that its reader knows."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random

from election.clock import Instant
from election.keys import Keys
from election.store import KeyValue
from fencing.guard import client as guard_client
from fencing.guard import liveness, wire
from fencing.guard.state import GuardState, Tick, step
from hactl.admin import event_log
from hactl.cli import client
from hactl.cli.common import CliError
from hactl.haproxy.control.runtime import parse_processes, parse_server_states
from hactl.haproxy.settings import HaproxyError
from hactl.status import health
from tests.fuzz.fuzzing import as_json, changed, fuzzed, mutated, raw

KEYS = Keys.of("demo")
KEY = b"k" * 32
REQUESTS = (
    {"id": 1, "op": "status"},
    {"id": 2, "op": "adopt", "cgroup": "/a"},
    {"id": 3, "op": "begin", "sid": "s", "stop_budget_ms": 900, "self_fence_lead_ms": 300, "valid_until": [5.0, 6.0]},
    {"id": 3, "op": "extend", "sid": "s", "stop_budget_ms": 900, "self_fence_lead_ms": 300, "valid_until": [5.0, 6.0]},
    {"id": 4, "op": "register", "name": "g/r", "steps": [{"kind": "exec", "argv": ["/bin/true"]}]},
    {"id": 5, "op": "listen", "port": 9665, "key": "ab" * 16, "cluster": "c", "node": "n", "address": "::"},
    {"id": 6, "op": "fence", "reason": "why"},
)
ANSWER = {
    "id": 1, "ok": True, "problem": "",
    "state": {
        "sid": "s", "valid_until": [1.0, 2.0], "phase": "holding", "exclusive": ["g/r"], "incarnation": 1,
        "stop_budget_ms": 900, "self_fence_lead_ms": 300, "pid": 5, "daemon_pid": 6, "degraded": [], "stop": None,
        "watchdog": None, "dropped": {},
    },
}  # fmt: skip
STAT = """# pxname,svname,scur,status,weight,act,addr,type,check_status,last_chk,check_desc,lastchg,uweight
api,n1,3,UP,100,1,10.0.0.1:80,2,L7OK,,ok,5,100
api,BACKEND,3,UP,100,1,,1,,,,5,
"""
PROC = """#<PID>          <type>          <reloads>       <uptime>        <version>
1234            master          5 [failed: 2]   0d00h00m28s     2.6
# workers
1235            worker          0               0d00h00m28s     2.6
# old workers
1236            worker          1               0d00h00m28s     2.6
"""


@fuzzed(400)
def test_requests_to_the_guard(rng: random.Random) -> None:
    packet = as_json(rng, rng.choice(REQUESTS)).encode("utf-8", "surrogatepass")
    with contextlib.suppress(wire.WireError):
        message = wire.decode(packet if rng.random() < 0.7 else raw(rng, packet))
        event = wire.request(message, 7)
        wire.daemon_cgroup(message)
        state = GuardState()
        if event is not None and not isinstance(event, wire.Listen):
            step(state, event, Instant(1.0, 1.0))
            step(state, Tick(), Instant(2.0, 2.0))
            wire.encode(wire.state_document(state, Instant(2.0, 2.0)))


@fuzzed(400)
def test_the_guards_answers(rng: random.Random) -> None:
    packet = as_json(rng, ANSWER).encode("utf-8", "surrogatepass")
    with contextlib.suppress(guard_client.GuardError):
        answer = guard_client.parse_answer(packet if rng.random() < 0.8 else raw(rng, packet))
        assert isinstance(answer.ok, bool) and isinstance(answer.problem, str)
        if (status := answer.status) is not None:
            assert isinstance(status.session_id, str) and all(isinstance(name, str) for name in status.exclusive)
            assert isinstance(status.incarnation, int) and isinstance(status.dropped, dict)


@fuzzed(400)
def test_datagrams_of_peers_with_the_key(rng: random.Random) -> None:
    """A peer without the key is refused before anything is read."""
    told = liveness.LivenessReply("c", "n", "s", "x" * 8, "s", True, True, 500)
    query = liveness.LivenessQuery("c", "n", "s", "x" * 8)
    sealed = rng.choice([liveness.encode_query(KEY, query), liveness.encode_reply(KEY, told)])
    text = as_json(rng, json.loads(sealed[len(liveness._mac(KEY, b"")) :])).encode("utf-8", "surrogatepass")
    packet = liveness._mac(KEY, text) + text
    with contextlib.suppress(liveness.AskError):
        liveness.decode_query(KEY, packet)
    with contextlib.suppress(liveness.AskError):
        liveness.decode_reply(KEY, packet)
    with contextlib.suppress(liveness.AskError):
        liveness.decode_query(KEY, raw(rng, packet))


@fuzzed(300)
def test_answers_of_haproxy(rng: random.Random) -> None:
    with contextlib.suppress(HaproxyError):
        parse_server_states(mutated(rng, STAT))
    with contextlib.suppress(HaproxyError):
        parse_processes(mutated(rng, PROC))


@fuzzed(400)
def test_documents_of_health(rng: random.Random) -> None:
    whole = health.NodeHealth(
        "n1", "s", "at", "2.6", True, "", {"api": {"n1": health.ServerHealth("DOWN", check="L4CON", since=5)}},
        {"api": health.ProbeHealth("completed", 3.0, "", 5)}, "f",
    )  # fmt: skip
    decoded = health.decode(as_json(rng, json.loads(health.encode(whole))))
    if decoded is not None:
        again = health.decode(health.encode(decoded))
        assert again is not None and dataclasses.asdict(again) == dataclasses.asdict(decoded)


@fuzzed(400)
def test_events(rng: random.Random) -> None:
    entry = {"at": "2026-01-01T00:00:00Z", "node": "n1", "event": "failover", "data": {"group": "g", "marks": {"a": 1}}}
    key = KEYS.event(rng.choice(["0001-n1-000001", "x/y", "", "\udc80", "é"]))
    entry_read = event_log.parse(KEYS, KeyValue(key, as_json(rng, entry), 3, 3))
    if entry_read is not None:
        json.dumps(entry_read.as_dict(), allow_nan=False).encode()
        event_log.timelines([entry_read], "g", 5)


@fuzzed(300)
def test_answers_of_the_daemon_to_the_command_line(rng: random.Random) -> None:
    body = as_json(rng, {"error": "no", "kind": "wait", "wait_ms": 5.0}).encode("utf-8", "surrogatepass")
    status = rng.choice([b"200 OK", b"409 Conflict", b"500 x", b"425 x", b"abc", b""])
    answer = b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\n\r\n" + body
    with contextlib.suppress(CliError):
        document = client._answer(answer if rng.random() < 0.7 else raw(rng, answer))
        assert isinstance(document, dict)


__all__ = ["changed"]
