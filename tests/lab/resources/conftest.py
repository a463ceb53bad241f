"""For the tests of a VIP on real interfaces."""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Iterator

import pytest

from tests.support.namespaces import ip, multicast_works
from tests.support.waiting import until

from .wire import OWN4, OWN6, Wire


@pytest.fixture
def wire() -> Iterator[Wire]:
    tag = uuid.uuid4().hex[:8]
    here, there = f"hactl-a-{tag}", f"hactl-b-{tag}"
    with contextlib.ExitStack() as stack:
        for namespace in (here, there):
            ip("netns", "add", namespace)
            stack.callback(ip, "netns", "del", namespace)
        ip("-n", here, "link", "add", "node", "type", "veth", "peer", "name", "peer", "netns", there)
        for namespace, name, ipv4, ipv6 in ((here, "node", OWN4, OWN6), (there, "peer", "10.77.0.2/24", "fd77::2/64")):
            ip("-n", namespace, "addr", "add", ipv4, "dev", name)
            ip("-n", namespace, "addr", "add", ipv6, "dev", name, "nodad")
            ip("-n", namespace, "link", "set", name, "up")
        for namespace in (here, there):
            until(functools.partial(multicast_works, namespace))
        wire = Wire(here, there)
        wire.attach()
        stack.callback(wire.close)
        yield wire
