"""The picture of the addresses, kept by single messages, is the one that a list would give."""

from __future__ import annotations

from ipaddress import IPv4Interface, ip_interface

from hypothesis import given, settings
from hypothesis import strategies as st

from hactl.linux.address_table import AddressTable
from hactl.linux.rtnl import Address
from tests.support.examples import examples
from tests.support.kernel_addresses import KernelAddresses

ADDRESSES = ("10.7.0.1/24", "10.7.0.2/24", "10.7.0.3/24", "10.7.0.4/25", "10.7.0.5/32", "10.7.0.1/16", "10.9.0.1/24")


def messages(before: list[Address], after: list[Address], put: IPv4Interface) -> list[tuple[bool, Address]]:
    """What the kernel says of a change: first what went, then what came or is another now."""
    there = {address.ip: address for address in before}
    left = {address.ip for address in after}
    gone = [(False, address) for address in before if address.ip not in left]
    return gone + [(True, address) for address in after if there.get(address.ip) != address]


@settings(max_examples=examples(300))
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(ADDRESSES)), max_size=20))
def test_it_has_the_kernels_order_or_says_that_it_does_not_know(changes: list[tuple[bool, str]]) -> None:
    kernel, table, listed = KernelAddresses(), AddressTable([]), 0
    for put, text in changes:
        before = kernel.addresses
        (kernel.add if put else kernel.remove)(text)
        known = [
            table.put(address) if there else table.drop(address) is None
            for there, address in messages(before, kernel.addresses, IPv4Interface(text))
        ]
        if not all(known):
            assert not put, "an address that comes has a place that is known"
            table, listed = AddressTable(kernel.addresses), listed + 1
        assert list(table.on(1)) == kernel.addresses
        for each in ADDRESSES:
            host = each.partition("/")[0]
            assert list(table.having(host)) == sorted(
                (address for address in kernel.addresses if address.host == host), key=list(table.having(host)).index
            )


def v4(text: str, index: int = 1, *, secondary: bool = False, scope: int = 0) -> Address:
    ip = ip_interface(text)
    return Address(index, ip, str(ip.ip), secondary=secondary, scope=scope)


def test_a_primary_address_comes_behind_those_that_are_known_no_less_far() -> None:
    link, everywhere, second = v4("10.0.0.1/24", scope=253), v4("10.1.0.1/24"), v4("10.1.0.2/24", secondary=True)
    table = AddressTable([link, everywhere, second])
    host = v4("10.2.0.1/24", scope=254)
    assert table.put(host)
    assert list(table.on(1)) == [host, link, everywhere, second]
    assert table.put(v4("10.3.0.1/24"))
    assert [address.host for address in table.on(1)] == ["10.2.0.1", "10.0.0.1", "10.1.0.1", "10.3.0.1", "10.1.0.2"]


def test_where_the_kernel_moves_an_address_its_place_is_not_known() -> None:
    table = AddressTable([v4("10.1.0.1/24"), v4("10.1.0.2/24", secondary=True)])
    assert not table.put(v4("10.1.0.2/24")), "it was promoted"


def test_an_address_in_another_state_takes_the_place_of_the_one_before() -> None:
    ip = ip_interface("fd77::30/64")
    preferred, deprecated = Address(1, ip, "fd77::30"), Address(1, ip, "fd77::30", deprecated=True)
    table = AddressTable([preferred])
    assert table.put(deprecated)
    assert list(table.on(1)) == list(table.having("fd77::30")) == [deprecated]
    table.drop(preferred)
    assert list(table) == [] and table == AddressTable([])


def test_the_same_host_is_found_on_every_interface_whatever_its_prefix() -> None:
    table = AddressTable([v4("10.0.0.1/24"), v4("10.0.0.1/32", 2), v4("10.0.0.2/24")])
    assert [address.index for address in table.having("10.0.0.1")] == [1, 2]
    assert table.put(v4("10.0.0.1/24", 3)), "the same address on another interface is another one"
    assert [address.index for address in table.having("10.0.0.1")] == [1, 2, 3]
    table.drop(v4("10.0.0.1/24", 3))
    table.drop(v4("10.0.0.1/24"))
    assert [address.index for address in table.having("10.0.0.1")] == [2]
    assert table.having("10.0.0.9") == () and table.on(9) == ()


def test_of_ipv6_addresses_the_order_does_not_count() -> None:
    first, second = (Address(1, ip_interface(text), text.partition("/")[0]) for text in ("fd77::1/64", "fd77::2/64"))
    assert AddressTable([first, second]) == AddressTable([second, first])
    assert AddressTable([v4("10.0.0.1/24"), v4("10.1.0.1/24")]) != AddressTable([v4("10.1.0.1/24"), v4("10.0.0.1/24")])
