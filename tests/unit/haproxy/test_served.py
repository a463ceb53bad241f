"""Whether HAProxy answers for a service, by its own answers to `show stat`."""

from __future__ import annotations

from typing import Any

import pytest

from hactl.haproxy.served import Proxies, proxies, questions, unserved
from hactl.model.service import ServiceSpec
from tests.support.specs import service_spec

HEADER = "# pxname,svname,qcur,status,weight,type,"


def service(name: str = "api", **options: Any) -> ServiceSpec:
    return service_spec(name, ("10.0.0.30:80",), 80, **options)


def answer(*rows: str) -> str:
    """The answer to one question for each row `PROXY SIDE STATUS`."""
    texts = []
    for row in rows:
        proxy, side, status = row.split(" ", 2)
        texts.append(f"{HEADER}\n{proxy},{side},,{status},,{0 if side == 'FRONTEND' else 1},\n")
    return "\n".join(texts)


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, Proxies("api", "api")),
        ({"kind": "split"}, Proxies("api-front", "api")),
        ({"kind": "split", "default_backend": "old"}, Proxies("api-front", "old")),
        ({"kind": "frontend", "default_backend": "old"}, Proxies("api", "old")),
        ({"kind": "frontend"}, Proxies("api", "")),
        ({"kind": "backend"}, Proxies("", "api")),
    ],
)
def test_the_proxies_of_each_kind(options: dict[str, Any], asked: Proxies) -> None:
    assert proxies(service(**options)) == asked


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (("api FRONTEND OPEN", "api BACKEND UP"), ""),
        (("api FRONTEND FULL", "api BACKEND UP"), ""),
        (("api FRONTEND OPEN", "api BACKEND UP 1/2"), ""),
        (("api FRONTEND OPEN", "api BACKEND DOWN"), "HAProxy finds none of its servers up"),
        (("api FRONTEND PAUSED", "api BACKEND UP"), "HAProxy accepts no connections for it (PAUSED)"),
        (("api FRONTEND STOP", "api BACKEND UP"), "HAProxy accepts no connections for it (STOP)"),
        (("api FRONTEND OPEN",), "HAProxy does not have it"),
        (("other FRONTEND OPEN", "other BACKEND UP"), "HAProxy does not have it"),
        ((), "HAProxy does not have it"),
    ],
)
def test_what_the_answers_mean(rows: tuple[str, ...], why: str) -> None:
    assert unserved([service()], answer(*rows)) == ({"api": why} if why else {})


def test_one_without_servers_of_its_own_needs_none() -> None:
    assert not unserved([service(kind="frontend")], answer("api FRONTEND OPEN"))
    assert not unserved([service(kind="backend")], answer("api BACKEND UP"))


@pytest.mark.parametrize("text", ["", "\n\n", "No such proxy.\n", f"{HEADER}\n", "# pxname,\napi\n", "\0,,,"])
def test_what_is_not_understood_is_not_there(text: str) -> None:
    assert unserved([service()], text) == {"api": "HAProxy does not have it"}


def test_many_are_asked_in_lines_that_haproxy_takes() -> None:
    services = [service(f"{'x' * 60}{number}", kind="split") for number in range(200)]
    asked = list(questions(services))
    assert all(len(line) < 8_000 for line in asked)
    assert sum(line.count("show stat ") for line in asked) == 400
    assert list(questions([service(kind="backend"), service("web", kind="frontend", default_backend="api")])) == [
        "show stat api 3 -1;show stat web 3 -1"
    ]
