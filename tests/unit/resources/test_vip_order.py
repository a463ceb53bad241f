"""Where a VIP stands among an interface's addresses, with the kernel's rules for IPv4 as a model of their own
(net/ipv4/devinet.c): what the watchers do to it always comes to an end, with no connection that begins from a VIP."""

from __future__ import annotations

from ipaddress import IPv6Interface, ip_interface

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hactl.linux.rtnl import Address
from hactl.resources.vip.order import standing
from tests.support.examples import examples
from tests.support.kernel_addresses import KernelAddresses

OWN = ("10.77.0.11/24", "10.77.0.12/24", "10.77.0.13/25", "192.168.7.5/24")
VIPS = ("10.77.0.30/24", "10.77.0.31/24", "10.77.0.40/32", "10.77.0.50/25")
MOVING = {vip.partition("/")[0] for vip in VIPS}


class Interface(KernelAddresses):
    """With the question from where connections begin."""

    def sources(self) -> set[str]:
        """From which addresses a connection may begin: the first of all, and the first of each network of the node's
        own, which has the route. A VIP has none."""
        first = {str(self.addresses[0].ip)} if self.addresses else set()
        return first | {
            str(address) for address in self.primary
            if any(other.network == address.network and str(other) in OWN for other in self.primary + self.secondary)
        }  # fmt: skip


def tend(there: Interface, vip: str) -> bool:
    """What the watcher of a VIP does when it is woken; whether that was anything."""
    match standing(ip_interface(vip), there.addresses, MOVING):
        case "missing":
            there.add(vip)
        case "misplaced":
            there.remove(vip)
            there.add(vip)
        case "alone":
            there.remove(vip)
        case _:
            return False
    return True


CHANGES = st.lists(st.tuples(st.booleans(), st.sampled_from(OWN + VIPS)) | st.none(), max_size=12)


@settings(max_examples=examples(300))
@given(CHANGES, st.permutations(VIPS), st.sets(st.sampled_from(VIPS), min_size=1))
@example([(True, OWN[3]), (True, VIPS[0]), (True, OWN[0])], list(VIPS), {VIPS[0]})
@example([(True, VIPS[0]), (True, OWN[2]), (True, VIPS[1])], list(VIPS), {VIPS[0], VIPS[1]})
def test_whatever_is_done_to_an_interface_no_connection_begins_from_a_vip(
    changes: list[tuple[bool, str] | None], order: list[str], here: set[str]
) -> None:
    there = Interface()
    for change in changes:
        if change is None:
            there.primary, there.secondary = [], []
        else:
            (there.add if change[0] else there.remove)(change[1])
    own = {str(address.ip) for address in there.addresses} & set(OWN)
    # A VIP that hactl did not put there is another matter: the lookout's.
    for stray in set(VIPS) - here:
        there.remove(stray)
    for _ in range(len(VIPS) + 2):
        done = [tend(there, vip) for vip in order if vip in here]
        if not any(done):
            break
    else:
        pytest.fail(f"no end: {there.primary} {there.secondary}")
    present = {str(address.ip) for address in there.addresses}
    assert present & set(OWN) == own, "the node's own addresses stay"
    assert there.sources() <= set(OWN)
    beside = {vip for vip in here if any(ip_interface(vip).ip in ip_interface(address).network for address in own)}
    assert present & set(VIPS) == beside, "a VIP is where the node has an address of its own in its network"


def v6(text: str, *, deprecated: bool = False) -> Address:
    ip = IPv6Interface(text)
    return Address(1, ip, str(ip.ip), deprecated=deprecated)


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ([v6("fd77::11/64")], "missing"),
        ([v6("fd77::11/64"), v6("fd77::30/64", deprecated=True)], "well"),
        ([v6("fd77::30/64", deprecated=True), v6("fd77::11/64")], "well"),
        ([v6("fd77::11/64"), v6("fd77::30/64")], "preferred"),
        ([v6("fd77::30/64", deprecated=True)], "alone"),
        ([v6("fe80::1/64"), v6("fd77::30/64", deprecated=True), v6("fd77::31/64")], "alone"),
        ([v6("fe80::1/64")], "barred"),
    ],
)
def test_an_ipv6_vip_is_deprecated_and_beside_an_address_of_the_nodes_own(there: list[Address], expected: str) -> None:
    assert standing(IPv6Interface("fd77::30/64"), there, {"fd77::30", "fd77::31"}) == expected
