"""What the demo calls as promised, and what it does not."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest

from hactl.lab.client import Answer, Result
from hactl.lab.demo_report import Figures, Move, Overlaps, Recovery, Screen, judge, strip


def seen(**more: Any) -> dict[str, Any]:
    return {"outage_ms": 3800.0, "good": 100, "failed": 0, **more}


def figures(**more: Any) -> Figures:
    timelines = [{"group": "vip", "phases": {"start": 20.0}}, {"group": "service", "phases": {"start": 100.0}}]
    cut = Recovery("n1", "n2", False, 0.0, {"vip": seen(), "service": seen()}, timelines)
    moved = {"move_vip": Move("vip", "n2", "n3", seen()), "move_service": Move("service", "n2", "n3", seen())}
    values: dict[str, Any] = {
        "power_cut": cut,
        **moved,
        "back_s": 2.0,
        "overlaps": Overlaps(0, 0, 0, True),
        **more,
    }
    return Figures("default", **values)


def wrong(measured: Figures) -> list[str]:
    return [verdict.subject for verdict in judge(measured) if not verdict.ok]


def test_all_as_promised() -> None:
    assert wrong(figures()) == []
    document = figures().as_dict(judge(figures()))
    assert document["ok"] is True and document["promised_ms"] == 6593.75


def test_an_outage_beyond_the_worst_case() -> None:
    cut = figures().power_cut
    assert cut is not None
    late = dataclasses.replace(cut, client={"vip": seen(outage_ms=6613.0), "service": seen()})
    assert wrong(figures(power_cut=late)) == []
    late = dataclasses.replace(cut, client={"vip": seen(outage_ms=6614.0), "service": seen(outage_ms=7700.0)})
    assert wrong(figures(power_cut=late)) == ["power cut: outage of vip", "power cut: outage of service"]


@pytest.mark.parametrize("place", ["vip", "service_address", "service"])
def test_two_holders_once(place: str) -> None:
    values: dict[str, Any] = {"vip": 0, "service_address": 0, "service": 0, "epochs_grow": True, place: 1}
    assert wrong(figures(overlaps=Overlaps(**values))) == ["two holders at one time"]


def test_an_epoch_that_does_not_grow() -> None:
    assert wrong(figures(overlaps=Overlaps(0, 0, 0, False))) == ["epochs grow"]


def test_a_move_that_moved_nothing() -> None:
    stayed = Move("service", "n2", "n2", seen())
    assert wrong(figures(move_service=stayed)) == ["planned move of the service"]


def test_a_node_that_comes_back_late() -> None:
    assert wrong(figures(back_s=31.0)) == ["n1 is back"]


def test_a_demo_that_came_to_no_end_is_not_judged() -> None:
    with pytest.raises(ValueError, match="end"):
        judge(figures(back_s=None))


def test_the_strip_shows_the_gap() -> None:
    answers = tuple(Answer(at, "n1") for at in range(0, 6000, 10) if not 2000 <= at < 4000)
    assert strip(Result(0.0, 6000.0, answers, ()), 10.0) == "#" * 20 + "." * 20 + "#" * 20
    assert strip(Result(0.0, 6000.0, (), ()), 10.0) == "." * 60


def test_what_is_wrong_is_marked_on_the_screen() -> None:
    out = io.StringIO()
    Screen(out).verdicts(judge(figures(back_s=31.0)))
    marked = [line.split() for line in out.getvalue().splitlines() if "WRONG" in line]
    assert marked == [["WRONG", "n1", "is", "back", "within", "30", "s", "31.0", "s"]]
