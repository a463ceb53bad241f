"""Whether HAProxy answers for services: what it is asked, and what its answers mean. Pure.

Source: HAProxy's management guide, `show stat`, and the field `status` of its CSV format. A frontend is OPEN, or FULL,
and else accepts nothing (PAUSED, STOP). A backend with servers is UP while one of them gets connections, backup
servers included.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from hactl.haproxy.render.service import FRONT
from hactl.model.service import ServiceSpec

# Types of `show stat`: frontends (1) and backends (2).
_FRONTENDS_AND_BACKENDS = 3
_ACCEPTS = ("OPEN", "FULL")
# So many in one line: HAProxy takes lines of 16 KiB.
_AT_ONCE = 60


class Proxies(NamedTuple):
    """The proxies of a service: where HAProxy accepts, and where the servers are; "": it has none."""

    front: str
    back: str


def proxies(service: ServiceSpec) -> Proxies:
    """Those of a service. The servers of a frontend are those of its `default_backend`; where its rules may lead
    besides is not looked at."""
    options, name = service.options, service.name
    match options.kind:
        case "listen":
            return Proxies(name, name)
        case "split":
            return Proxies(name + FRONT, options.default_backend or name)
        case "frontend":
            return Proxies(name, options.default_backend)
        case "backend":
            return Proxies("", name)


def questions(services: Sequence[ServiceSpec]) -> Iterator[str]:
    """What HAProxy is asked about these services, in as few lines as it takes."""
    names = list(dict.fromkeys(name for service in services for name in proxies(service) if name))
    for start in range(0, len(names), _AT_ONCE):
        yield ";".join(f"show stat {name} {_FRONTENDS_AND_BACKENDS} -1" for name in names[start : start + _AT_ONCE])


def unserved(services: Sequence[ServiceSpec], answer: str) -> dict[str, str]:
    """Of the services for which HAProxy does not answer, why. `answer`: to all questions."""
    status = _status(answer)
    reasons = {service.name: _why_not(proxies(service), status) for service in services}
    return {name: why for name, why in reasons.items() if why}


def _why_not(asked: Proxies, status: Mapping[tuple[str, str], str]) -> str:
    front = status.get((asked.front, "FRONTEND"), "") if asked.front else _ACCEPTS[0]
    back = status.get((asked.back, "BACKEND"), "") if asked.back else "UP"
    if not front or not back:
        return "HAProxy does not have it"
    if front not in _ACCEPTS:
        return f"HAProxy accepts no connections for it ({front})"
    return "" if back.startswith("UP") else "HAProxy finds none of its servers up"


def _status(answer: str) -> dict[tuple[str, str], str]:
    """By proxy and side; nothing of a line that is not understood."""
    found = {}
    for block in answer.split("\n\n"):
        if block.lstrip().startswith("# pxname,"):
            for row in csv.DictReader(block.lstrip("# \n").split("\n")):
                found[row.get("pxname") or "", row.get("svname") or ""] = row.get("status") or ""
    return found
