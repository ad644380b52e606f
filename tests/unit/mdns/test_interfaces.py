"""Which addresses are spoken from, and whose words are a neighbour's."""

from __future__ import annotations

import ipaddress

import pytest

from ucm_provision.discovery import interfaces
from ucm_provision.discovery.interfaces import Address, AddressNews, Network


def address(text: str, interface: str = "eth0", index: int = 2) -> Address:
    one = ipaddress.ip_interface(text)
    return Address(interface, index, one.ip, one.network)


LAN = Network(
    (
        address("192.0.2.1/24"),
        address("192.0.2.2/24"),
        address("fe80::1/64"),
        address("2001:db8::1/64"),
        address("fe80::2/64", "wlan0", 3),
    )
)


def test_one_address_of_each_interface_and_family_is_spoken_from() -> None:
    assert set(LAN.choice()) == {"192.0.2.1", "fe80::1", "fe80::2"}


def test_an_address_that_two_interfaces_have_is_given_as_their_numbers() -> None:
    twice = Network((address("fe80::1/64"), address("fe80::1/64", "wlan0", 3)))
    assert set(twice.choice()) == {2, 3}


@pytest.mark.parametrize(
    ("source", "index"),
    [("192.0.2.9", None), ("::ffff:192.0.2.9", 0), ("2001:db8::9", 0), ("fe80::9", 2), ("fe80::9%wlan0", 3)],
)
def test_a_neighbour_is_heard(source: str, index: int | None) -> None:
    assert LAN.is_on_link(source, index)


@pytest.mark.parametrize(
    ("source", "index"),
    [
        ("198.51.100.9", None),
        ("::ffff:198.51.100.9", 0),
        ("2001:db8:1::9", 0),
        ("fe80::9", 7),
        ("fe80::9", None),
        ("", 0),
    ],
)
def test_nobody_else_is(source: str, index: int | None) -> None:
    assert not LAN.is_on_link(source, index)


def test_loopback_is_looked_at_only_if_it_is_wanted() -> None:
    assert not interfaces.look(frozenset()).has_loopback
    assert interfaces.look(interfaces.normal(["127.0.0.1"])).choice() == ["127.0.0.1"]


def test_an_address_that_is_not_there_is_nothing_to_look_at() -> None:
    assert not interfaces.look(interfaces.normal(["192.0.2.250"]))


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="eth0"):
        interfaces.normal(["eth0"])


async def test_without_a_listener_only_time_stirs() -> None:
    await AddressNews(None).stirred(0.0)
