"""The API's followers of events are few and hold nothing up; large answers go out in parts."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from election.memory_store import MemoryStore
from election.records import Identity
from election.store import Put, Txn
from hactl.admin import event_log
from hactl.cli import client
from hactl.cli.common import CliError
from hactl.config.node import NodeConfig
from hactl.daemon.api import routes, shared
from hactl.daemon.parts import event_feed
from hactl.serving.http import CHUNK
from tests.support.scene import KEYS, Scene
from tests.support.stand_in import StandIn
from tests.support.waiting import until


def test_followers_are_few_and_cost_one_watch(daemon: StandIn, config: NodeConfig, scene: Scene) -> None:
    threads = threading.active_count()
    event_log.note(scene.store, KEYS, "n1", "first", {})
    followers = [client.stream(config.api_socket, "/v1/events?follow=1&n=1") for _ in range(event_feed.FOLLOWERS)]
    assert {next(follower)["event"] for follower in followers} == {"first"}
    assert threading.active_count() - threads < 10
    with pytest.raises(CliError, match="too many follow the events"):
        next(client.stream(config.api_socket, "/v1/events?follow=1&n=1"))
    for number in range(3):
        event_log.note(scene.store, KEYS, "n3", f"later-{number}", {})
    for follower in followers:
        assert [next(follower)["event"] for _ in range(3)] == ["later-0", "later-1", "later-2"]
    followers.pop().close()
    with_place = until(lambda: _joined(config), "the place of one that left is free")
    assert with_place["event"] == "later-2"
    for follower in followers:
        follower.close()


def _joined(config: NodeConfig) -> dict[str, Any] | None:
    lines = client.stream(config.api_socket, "/v1/events?follow=1&n=1")
    try:
        return next(lines)
    except CliError:
        return None
    finally:
        lines.close()


def test_one_user_cannot_take_all_places_of_followers() -> None:
    async def main() -> None:
        feed = event_feed.EventFeed(daemon_of_one_event())
        many = [await feed.join(1, "1000") for _ in range(event_feed.FOLLOWERS)]
        with pytest.raises(event_feed.TooManyError):
            await feed.join(1, "1000")
        other = await feed.join(1, "0")
        assert [line async for line in many[0].lines()]  # the lines before its end, and its end
        await asyncio.wait_for(anext(other.lines()), 10)
        for follower in (*many, other):
            feed.leave(follower)
        assert feed._places.taken == 0

    asyncio.run(main())


def daemon_of_one_event() -> Any:
    """As much of a daemon as the feed needs."""
    store = MemoryStore()
    store.txn(Txn((), (Put(KEYS.identity, Identity("u", 1).to_json()),)), timeout_s=5)
    event_log.note(store, KEYS, "n1", "first", {})

    async def query(call: Any, *args: Any) -> Any:
        return await asyncio.to_thread(call, *args)

    return SimpleNamespace(store=store, keys=KEYS, query=query)


def test_events_go_out_in_large_parts_between_which_the_loop_does_other_work() -> None:
    """A thousand lines to each of 32 followers, or a hundred at once after an outage of etcd, must not keep it."""

    async def main() -> None:
        follower, turns = event_feed.Follower(), 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(others())
        follower.earlier = [b"%d %s\n" % (number, b"x" * 300) for number in range(1000)]
        for number in range(400):
            follower.put((number, b"later\n"))
        follower.put(None)
        before, chunks = turns, []
        async for chunk in follower.lines():
            chunks.append(chunk)
        assert b"".join(chunks) == b"".join(follower.earlier) + b"later\n" * 400
        assert max(map(len, chunks)) <= CHUNK and len(chunks) < 15
        assert turns - before >= len(chunks) - 1
        other.cancel()

    asyncio.run(main())


def test_many_waiters_for_one_answer_go_on_a_few_at_a_time() -> None:
    async def main() -> None:
        made, iteration, went_on = asyncio.Event(), 0, Counter[int]()

        async def make() -> str:
            await made.wait()
            return "it"

        async def count() -> None:
            nonlocal iteration
            while True:
                iteration += 1
                await asyncio.sleep(0)

        async def wait() -> None:
            assert await answer.get() == "it"
            went_on[iteration] += 1

        answer, counting = shared.Shared(make), asyncio.create_task(count())
        waiting = [asyncio.create_task(wait()) for _ in range(10 * shared.AT_ONCE)]
        await asyncio.sleep(0)
        made.set()
        await asyncio.gather(*waiting)
        assert max(went_on.values()) <= 2 * shared.AT_ONCE  # it is counted between two turns
        assert len(went_on) >= 5
        counting.cancel()

    asyncio.run(main())


def test_a_large_answer_goes_out_in_parts() -> None:
    async def main() -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        for body in (b"{}", b"x" * CHUNK, b"x" * (3 * CHUNK + 1), b""):
            sent.clear()
            await routes.Answer(body)({"type": "http"}, None, send)
            head, *parts = sent
            assert dict(head["headers"])[b"content-length"] == str(len(body)).encode()
            assert b"".join(part["body"] for part in parts) == body
            assert all(len(part["body"]) <= CHUNK for part in parts)
            assert [part.get("more_body", False) for part in parts] == [True] * (len(parts) - 1) + [False]
        return sent

    asyncio.run(main())


def test_a_follower_that_falls_behind_is_ended() -> None:
    follower = event_feed.Follower()
    for number in range(event_feed.WAITING + 1):
        follower.put((number, b"x"))
    assert follower.queue.qsize() == 1 and follower.queue.get_nowait() is None
    follower.abort()
    assert follower.queue.get_nowait() is None
