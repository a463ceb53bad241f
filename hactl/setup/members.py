"""Waits until all planned members of etcd are there and one cluster; compares the machines' clocks."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import closing
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hactl.setup.checks import CLOCK_S
from hactl.setup.errors import NotYetError, RefusedError
from hactl.setup.files import Say
from hactl.setup.gathering import Answer, Gathering, gathered
from hactl.setup.plan import CLIENT_PORT, PEER_PORT, Host

if TYPE_CHECKING:
    from election.etcd.store import EtcdStore
    from hactl.config.node import NodeConfig

_LOOK_S, _AGAIN_S, _CONNECT_S = 2.0, 1.0, 1.0


def wait_for_members(config: NodeConfig, hosts: Sequence[Host], deadline: float, say: Say) -> None:
    """Until the monotonic time `deadline`; says what is missing when that changes. `hosts`: in the order of the
    endpoints. Raises NotYetError, and RefusedError for what does not end by waiting."""
    from hactl.config.etcd_access import open_etcd  # noqa: PLC0415 - a fifth of a second

    shown = ""
    with closing(open_etcd(config)) as store:
        while True:
            state = _look(store, hosts)
            if state.wrong:
                raise RefusedError(f"{state.wrong}; docs/install.md, *Begin again*")
            if state.complete:
                say(f"etcd is one cluster of {len(hosts)}: {', '.join(host.name for host in hosts)}")
                return
            text = "; ".join(f"{name}: {reason}" for name, reason in state.missing.items())
            if text != shown:
                say(f"waiting for {text}")
                shown = text
            if time.monotonic() >= deadline:
                raise NotYetError(f"still missing: {text}; see to it, then repeat `hactl setup`: it goes on")
            time.sleep(_AGAIN_S)


def _look(store: EtcdStore, hosts: Sequence[Host]) -> Gathering:
    facts = store.look(_LOOK_S)
    silent = [host for host, fact in zip(hosts, facts, strict=True) if fact.problem]
    return gathered(hosts, facts, {host.name: answer_of(host) for host in silent})


def answer_of(host: Host, port: int = PEER_PORT) -> Answer:
    """How it takes a connection."""
    try:
        with socket.create_connection((host.address, port), _CONNECT_S):
            return "accepts"
    except ConnectionRefusedError:
        return "refuses"
    except OSError:
        return "silent"


def compare_clocks(config: NodeConfig, hosts: Sequence[Host], now: float) -> None:
    """Raises RefusedError where a machine's clock is far from this one's. etcd answers HTTP with its wall time."""
    for host in hosts:
        seconds = _clock(host.url(CLIENT_PORT), config)
        if seconds is not None and abs(seconds - now) > CLOCK_S:
            ahead = "ahead of" if seconds > now else "behind"
            raise RefusedError(
                f"the clock of {host.name} is {abs(seconds - now):.0f} s {ahead} this machine's: set both "
                "(`timedatectl set-ntp true`), then repeat `hactl setup`: it goes on"
            )


def _clock(url: str, config: NodeConfig) -> float | None:
    """By the `Date` of an answer; None: it has none. A certificate that does not hold yet by this clock must not
    matter, so the other side's is not checked: nothing is said but `GET /version`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(OSError, ValueError, TypeError, http.client.HTTPException):
        if config.etcd_cert:
            context.load_cert_chain(config.etcd_cert, config.etcd_key)
        place = urlsplit(url)
        connection = http.client.HTTPSConnection(place.hostname or "", place.port, timeout=_LOOK_S, context=context)
        with closing(connection):
            connection.request("GET", "/version")
            return parsedate_to_datetime(connection.getresponse().headers["Date"]).timestamp()
    return None
