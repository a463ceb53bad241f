"""What the observer of HAProxy tells: of HAProxy itself, and of the services that groups require."""

from __future__ import annotations

import asyncio
from typing import Any

from hactl.daemon.observe.serving import GRACE_S, Serving
from hactl.haproxy.settings import HaproxyError
from hactl.model.events import HaproxySeen
from tests.support.specs import service_spec

API, WEB = (service_spec(name, ("10.0.0.30:80",), 80) for name in ("api", "web"))
HEADER = "# pxname,svname,status,"


class Observed:
    """An observer with a clock of its own. `problem`: HAProxy's; `down`: services without a server; `silent`: HAProxy
    does not answer."""

    def __init__(self, *required: Any) -> None:
        self.now, self.problem, self.silent, self.down = 100.0, "", False, set[str]()
        self.asked: list[str] = []
        self.posted: list[HaproxySeen] = []
        self.serving = Serving(lambda: self.problem, self.ask, self.posted.append, lambda: self.now)
        self.serving.require(required)

    async def ask(self, question: str) -> str:
        self.asked.append(question)
        if self.silent:
            raise HaproxyError("it does not answer")
        names = [command.split()[2] for command in question.split(";")]
        return "\n".join(
            f"{HEADER}\n{name},FRONTEND,OPEN,\n\n{HEADER}\n{name},BACKEND,{'DOWN' if name in self.down else 'UP'},\n"
            for name in names
        )

    def look(self, after_s: float = 0.0, *groups: str) -> list[HaproxySeen]:
        """Ask and look; what was told since the last time."""
        self.now += after_s
        told = len(self.posted)
        asyncio.run(self.serving._ask_for_services())
        self.serving.look(groups or None)
        return self.posted[told:]


def test_nothing_is_told_before_anything_was_tried() -> None:
    assert Observed().look() == []


def test_haproxy_itself_is_told_after_the_grace_and_its_end_at_once() -> None:
    observed = Observed()
    (seen,) = observed.look(0.0, "vip")
    assert seen == HaproxySeen("", frozenset({"vip"}), {}) and observed.asked == []
    observed.problem = "it does not run"
    assert observed.look(1.0) == []
    assert observed.look(GRACE_S / 2) == []
    (seen,) = observed.look(GRACE_S / 2)
    assert seen.problem == "it does not run"
    assert observed.look(9.0) == []
    observed.problem = ""
    assert [each.problem for each in observed.look(0.1)] == [""]


def test_an_illness_that_is_over_within_the_grace_is_not_told() -> None:
    observed = Observed(API)
    observed.look(0.0, "vip")
    for _ in range(5):
        observed.down = {"api"}
        assert observed.look(GRACE_S * 0.9) == []
        observed.down = set()
        assert observed.look(GRACE_S * 0.9) == []


def test_each_service_counts_by_itself() -> None:
    observed = Observed(API, WEB)
    observed.look(0.0, "vip")
    observed.down = {"api"}
    observed.look(1.0)
    observed.down = {"api", "web"}
    (seen,) = observed.look(GRACE_S)
    assert seen.failing == {"api": "HAProxy finds none of its servers up"} and seen.problem == ""
    (seen,) = observed.look(GRACE_S)
    assert set(seen.failing) == {"api", "web"}
    observed.down = {"web"}
    assert [set(each.failing) for each in observed.look(0.1)] == [{"web"}]


def test_a_haproxy_that_is_not_well_serves_nothing() -> None:
    observed = Observed(API)
    observed.look(0.0, "vip")
    observed.problem = "it hangs"
    observed.look(1.0)
    asked = len(observed.asked)
    (seen,) = observed.look(GRACE_S)
    assert seen == HaproxySeen("it hangs", frozenset({"vip"}), {"api": "it hangs"}) and len(observed.asked) == asked


def test_while_it_does_not_answer_the_last_answer_stands() -> None:
    observed = Observed(API)
    observed.look(0.0, "vip")
    observed.silent, observed.down = True, {"api"}
    assert observed.look(2 * GRACE_S) == []
    observed.silent = False
    observed.look(0.1)
    assert [set(each.failing) for each in observed.look(GRACE_S)] == [{"api"}]


def test_a_daemon_that_begins_says_nothing_before_it_is_certain() -> None:
    observed = Observed(API)
    observed.silent = True
    assert observed.look(0.0, "vip") == []  # it has had no answer yet
    observed.silent, observed.down = False, {"api"}
    assert observed.look(0.1) == []
    assert [set(each.failing) for each in observed.look(GRACE_S)] == [{"api"}]


def test_what_is_required_no_more_is_told_no_more() -> None:
    observed = Observed(API)
    observed.down = {"api"}
    observed.look(0.0, "vip")
    assert [set(each.failing) for each in observed.look(GRACE_S)] == [{"api"}]
    observed.serving.require(())
    assert [dict(each.failing) for each in observed.look(0.1)] == [{}]
    observed.serving.require((WEB,))
    assert observed.look(0.1) == []
