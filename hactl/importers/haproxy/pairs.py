"""A frontend and a backend of one name, which HAProxy takes, and the services of a cluster.yaml do not.

They become one service of kind `split` where both agree on what a service says once. Where they do not, the backend
keeps the name, which rules and operators use, and the frontend gets another one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from hactl.haproxy.render.service import FRONT
from hactl.importers.haproxy.common import Settings
from hactl.importers.haproxy.notes import Note
from hactl.importers.haproxy.proxies import RULES, Proxy, has_condition
from hactl.importers.haproxy.source import Section, Source

# The settings that a service has once for both sides.
_OF_BOTH = ("log", "keep_alive", "tcp_keepalive", "defaults")
_REQUEST_TIMES = {"http_request", "http_keep_alive", "tarpit"}


class Making(Protocol):
    """A draft of an import."""

    source: Source
    names: dict[int, str]
    notes: list[Note]


def pair(made: Making, proxies: Sequence[Proxy]) -> dict[int, tuple[Proxy, Proxy, Settings]]:
    """The services that are made from two sections, by each of both. Frontends that cannot be a part of one, and have
    the name of a backend, are called otherwise, or get a reason to stay words."""
    backs = {proxy.section.name: proxy for proxy in proxies if proxy.section.kind == "backend"}
    names = {proxy.section.name for proxy in proxies}
    pairs = {}
    for front in (proxy for proxy in proxies if proxy.section.kind == "frontend"):
        name = front.section.name
        back = backs.get(name) or backs.get(name.removesuffix(FRONT))
        if back is None or front.reason:
            continue
        alike = back.section.name == name
        usual = f"{back.section.name}{FRONT}"
        if alike and _is_named(made.source, front.section):
            front.reason = f"rules name the frontend, and the service {name} is the backend"
        elif (usual not in names or not alike) and not back.reason and (whole := _merged(front, back)):
            pairs[id(front)] = pairs[id(back)] = (front, back, whole)
        elif alike:
            _rename(made, front, names)
    return pairs


def take_apart(made: Making, front: Proxy, back: Proxy) -> list[tuple[list[Section], Settings]]:
    """The frontend and the backend of a service as two."""
    made.names.pop(id(front.section), None)
    if front.section.name == back.section.name:
        _rename(made, front, ())
    return [([proxy.section], proxy.service) for proxy in (front, back)]


def _rename(made: Making, front: Proxy, names: Collection[str]) -> None:
    name = free_name(f"{front.section.name}{FRONT}", names)
    front.service["name"] = made.names[id(front.section)] = name
    wording = f"became service `{name}`: the backend of that name keeps it, and both do not fit into one service"
    made.notes.append(Note("hint", front.section.header.number, front.section.header.text, wording))


def free_name(name: str, taken: Collection[str]) -> str:
    """`name`, or with a number behind it the first that is not in `taken`."""
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(candidate for candidate in itertools.chain([name], numbered) if candidate not in taken)


def _is_named(source: Source, front: Section) -> bool:
    """Whether anything looks at the frontend by its name: at its counters, or at its table."""
    name = re.escape(front.name)
    # A rule may compare the frontend's name (`fe_name`, `%f`), or make a backend's name of it.
    pattern = rf"\bfe_\w+\({name}[,)]|\bfe_name\b|^(?!log|error-log).*%ft?\b|^stats scope {name}$"
    if any(line.keyword == "stick-table" for line in front.lines):
        pattern += rf"|\btable\s+{name}(?![^\s])|[(,]{name}[,)]"
    return any(re.search(pattern, line.text) for _, line in source.directives())


def _merged(frontend: Proxy, backend: Proxy) -> Settings | None:
    """One service; None where a setting of one of them would then hold for both."""
    front, back = frontend.service, backend.service
    if frontend.mode != backend.mode or any(front.get(name) != back.get(name) for name in _OF_BOTH):
        return None
    if front.get("default_backend") != back["name"]:
        return None
    if "forwardfor" in back or _REQUEST_TIMES.intersection(back.get("timeouts", {})) or _needs_own_acls(back):
        return None
    extra = [f"{keyword} {text}" for keyword, name in RULES.items() for text in back.get(name, ())]
    whole = {**front, **{name: value for name, value in back.items() if name not in RULES.values()}, "kind": "split"}
    del whole["default_backend"]
    if timeouts := {**front.get("timeouts", {}), **back.get("timeouts", {})}:
        whole["timeouts"] = timeouts
    texts = {"extra": [*extra, *back.get("extra", ())], "extra_frontend": [*front.get("extra", ())]}
    whole.pop("extra", None)
    return whole | {name: lines for name, lines in texts.items() if lines}


def _needs_own_acls(back: Mapping[str, object]) -> bool:
    """`stick on … if ACL` with conditions of the backend, which a service of kind split has behind it."""
    stick = back.get("stick")
    return isinstance(stick, Mapping) and has_condition(str(stick["on"]).split(" ")) and "acls" in back
