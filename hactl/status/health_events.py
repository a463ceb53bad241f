"""The changes of a balancer's view that are worth an entry in the history. Pure.

Every node tells what its own HAProxy finds: what a client gets depends on the balancer that it comes to, and where they
differ that is the news. Nobody has to be elected to tell it, and it is told when etcd comes back.

So that one cause is one entry and not hundreds: a change must last (`SETTLE_S`, `RECOVER_S`), all that changed together
is one entry for each server and each reason, and what goes back and forth for hours is told `BURST` times and from then
on every `AGAIN_S`, as it is by then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hactl.status.health import ProbeHealth, ServerHealth

SETTLE_S, RECOVER_S = 2.0, 4.0
BURST, AGAIN_S = 6, 120.0

# So many services are named in an entry, the rest counted.
_NAMED = 10

_GOOD = frozenset({"up", "well", "completed"})

Services = Mapping[str, Mapping[str, ServerHealth]]
Event = tuple[str, dict[str, Any]]


@dataclass(slots=True)
class _Subject:
    """A server, service or probe. `reported`: its last reported state; `now`, `since`: its state; `left`: how many
    changes may be reported, as of `counted_s`: a fraction of one is time that has gone by."""

    reported: str
    now: str
    since: float
    counted_s: float
    left: float = BURST


class HealthEvents:
    """Told of the view each time it may have changed; says what is to be noted."""

    def __init__(self) -> None:
        self._subjects: dict[tuple[str, ...], _Subject] = {}

    def look(
        self, services: Services, probes: Mapping[str, ProbeHealth], now_s: float, with_roles: Collection[str] = ()
    ) -> list[Event]:
        """The events to note now. `now_s`: by any clock that goes on. `with_roles`: services whose check asks for a
        role, which one server has."""
        services = {**services, **{name: _of_the_role(services[name]) for name in with_roles if name in services}}
        states = {**dict(_servers(services)), **dict(_service_states(services, with_roles))}
        states |= {("probe", name): probe.outcome for name, probe in probes.items()}
        self._subjects = {key: subject for key, subject in self._subjects.items() if key in states}
        ripe = {key: states[key] for key in states if self._is_ripe(key, states[key], now_s)}
        return [*_of_servers(ripe, services), *_of_services(ripe, services), *_of_probes(ripe, probes)]

    def begin(
        self, services: Services, probes: Mapping[str, ProbeHealth], now_s: float, with_roles: Collection[str] = ()
    ) -> None:
        """This was told before: by the daemon that was here before this one."""
        self.look(services, probes, now_s, with_roles)
        for subject in self._subjects.values():
            subject.reported = subject.now

    def pending(self) -> bool:
        """Whether something waits to be told."""
        return any(subject.reported != subject.now for subject in self._subjects.values())

    def _is_ripe(self, key: tuple[str, ...], state: str, now_s: float) -> bool:
        subject = self._subjects.get(key)
        if subject is None:
            subject = self._subjects[key] = _Subject(_usual(key), state, now_s, now_s)
        if subject.now != state:
            subject.now, subject.since = state, now_s
        subject.left = min(BURST, subject.left + (now_s - subject.counted_s) / AGAIN_S)
        subject.counted_s = now_s
        lasts = RECOVER_S if state in _GOOD else SETTLE_S
        if subject.reported == state or now_s - subject.since < lasts or subject.left < 1:
            return False
        subject.reported, subject.left = state, subject.left - 1
        return True


def _usual(key: tuple[str, ...]) -> str:
    """The state that is not noted when it is seen first."""
    return {"server": "up", "service": "well", "probe": "completed"}[key[0]]


def _of_the_role(servers: Mapping[str, ServerHealth]) -> dict[str, ServerHealth]:
    """Those without the role are as if out of use for good."""
    return {name: ServerHealth("MAINT") if server.other_role else server for name, server in servers.items()}


def _servers(services: Services) -> Iterator[tuple[tuple[str, ...], str]]:
    """A server that an operator took out of use is neither up nor down, and is left out."""
    for service, servers in services.items():
        for name, server in servers.items():
            if server.up or server.down:
                yield ("server", service, name), "up" if server.up else "down"


def _service_states(services: Services, with_roles: Collection[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """`none`, `last` of several, or `well`. A server that is out of use for good (MAINT) is not one of several, nor is
    the one that has a role."""
    for service, servers in services.items():
        up = [name for name, server in servers.items() if server.up]
        several = (
            service not in with_roles and sum(not server.status.startswith("MAINT") for server in servers.values()) > 1
        )
        yield ("service", service), "none" if not up else f"last {up[0]}" if several and len(up) == 1 else "well"


def _of_servers(ripe: Mapping[tuple[str, ...], str], services: Services) -> Iterator[Event]:
    joined: dict[tuple[str, str, str, str], list[str]] = {}
    for key, state in ripe.items():
        if key[0] == "server":
            _, service, name = key
            server = services[service][name]
            joined.setdefault((f"server_{state}", name, server.check, server.detail), []).append(service)
    for (event, name, check, detail), names in joined.items():
        yield event, {"server": name, "services": _list(names), "check": check, "detail": detail}


def _of_services(ripe: Mapping[tuple[str, ...], str], services: Services) -> Iterator[Event]:
    joined: dict[str, list[str]] = {}
    for key, state in ripe.items():
        if key[0] == "service":
            joined.setdefault(state, []).append(key[1])
    for state, names in joined.items():
        word, _, server = state.partition(" ")
        event = {"none": "service_without_server", "last": "service_on_last_server"}.get(word, "service_recovered")
        yield event, {"services": _list(names), **({"server": server} if server else {})}


def _of_probes(ripe: Mapping[tuple[str, ...], str], probes: Mapping[str, ProbeHealth]) -> Iterator[Event]:
    for key, state in ripe.items():
        if key[0] == "probe":
            yield f"probe_{state}", {"service": key[1], "ms": probes[key[1]].ms, "detail": probes[key[1]].detail}


def _list(names: list[str]) -> str:
    more = len(names) - _NAMED
    shown = names if more <= 1 else names[:_NAMED]
    return ", ".join(shown) + (f" and {more} more" if more > 1 else "")
