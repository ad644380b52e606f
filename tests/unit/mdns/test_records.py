"""What is believed of an announcement, whatever it holds."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucm_provision.core import policy
from ucm_provision.core.model import GatewaySighting
from ucm_provision.discovery import records
from ucm_provision.discovery.records import Address, Announcement, AnnouncementError

ID = "0F4D7A1BB1E24C6AA2A59CA8D3E7F310"


def text(*strings: bytes) -> bytes:
    return b"".join(bytes([len(string)]) + string for string in strings)


def packed(ip: str, zone: str | None = None) -> Address:
    return Address(socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip), zone)


GOOD = Announcement(
    instance=f"ucm-{ID}",
    host="module.local.",
    port=80,
    text=text(b"v=1", b"id=" + ID.encode(), b"product=UCM", b"fw=1.2.3", b"state=new"),
    addresses=(packed("192.0.2.7"),),
)
ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(lambda ip: Address(ip.packed)),
    st.tuples(st.ip_addresses(v=6), st.sampled_from([None, "eth0"])).map(lambda pair: Address(pair[0].packed, pair[1])),
)
ANNOUNCEMENTS = st.builds(
    Announcement,
    instance=st.one_of(st.text(max_size=63), st.just(GOOD.instance), st.just(GOOD.instance.lower())),
    host=st.one_of(st.text(max_size=300), st.just(GOOD.host)),
    port=st.integers(0, 65535),
    text=st.one_of(st.binary(max_size=600), st.just(GOOD.text)),
    addresses=st.lists(ADDRESSES, max_size=20).map(tuple),
)


def test_a_good_one_is_believed() -> None:
    module = records.module(GOOD, loopback=False)
    assert (module.hardware_id, module.routes) == (ID, ("192.0.2.7:80",))
    sighting = module.sighting(present=True)
    assert records.instance_of_key(sighting.endpoint.key) == f"{sighting.endpoint.address}.{records.MODULES}".lower()


@pytest.mark.parametrize("instance", [f"UCM-{ID}", f"ucm-{ID.lower()}"])
def test_case_does_not_matter(instance: str) -> None:
    lower = text(b"V=1", b"ID=" + ID.lower().encode())
    assert records.module(replace(GOOD, instance=instance, text=lower), loopback=False).hardware_id == ID


@pytest.mark.parametrize(("said", "understood"), [("active", "active"), ("trial", "trial"), ("ACTIVE", ""), ("", "")])
def test_a_state_is_one_of_three(said: str, understood: str) -> None:
    strings = text(b"v=1", b"id=" + ID.encode(), b"state=" + said.encode())
    assert records.module(replace(GOOD, text=strings), loopback=False).state == understood


def test_routes_are_in_the_order_in_which_they_are_tried() -> None:
    addresses = ["fe80::1", "2001:db8::7", "192.0.2.9", "fd00::7", "192.0.2.7"]
    announcement = replace(GOOD, addresses=tuple(packed(ip, "eth0") for ip in addresses))
    assert records.module(announcement, loopback=False).routes == (
        "192.0.2.7:80",
        "192.0.2.9:80",
        "[2001:db8::7]:80",
        "[fd00::7]:80",
        "[fe80::1%eth0]:80",
    )


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
def test_loopback_only_on_loopback(ip: str) -> None:
    announcement = replace(GOOD, addresses=(packed(ip),))
    assert records.module(announcement, loopback=True).routes
    with pytest.raises(AnnouncementError):
        records.module(announcement, loopback=False)


@pytest.mark.parametrize(
    "strings",
    [
        [b"v=1"],
        [b"v=2", b"id=" + ID.encode()],
        [b"v=1", b"id=" + ID[:-1].encode() + b"1"],
        [b"v=1", b"id=" + ID.encode(), b"fw=" + b"9" * (policy.MDNS_VALUE_LONGEST + 1)],
        [b"v=1", b"id=" + ID.encode(), b"fw=\xff"],
        [b"v=1", b"id=" + ID.encode(), *[b"x" * 60] * 8],
        [b"v=2", b"v=1", b"id=" + ID.encode()],
    ],
)
def test_a_text_that_is_not_right_is_not_believed(strings: list[bytes]) -> None:
    with pytest.raises(AnnouncementError):
        records.module(replace(GOOD, text=text(*strings)), loopback=False)


def test_a_text_that_ends_too_early_is_not_believed() -> None:
    with pytest.raises(AnnouncementError):
        records.text_values(GOOD.text[:-1])


@given(ANNOUNCEMENTS, st.booleans())
def test_whatever_is_announced_what_is_believed_is_sound(announcement: Announcement, loopback: bool) -> None:
    try:
        module = records.module(announcement, loopback=loopback)
    except AnnouncementError:
        return
    assert announcement.instance.upper() == f"UCM-{module.hardware_id}"
    assert 1 <= len(module.routes) <= policy.MDNS_ROUTES
    for route in module.routes:
        host, _, port = route.rpartition(":")
        ip = ipaddress.ip_address(host.strip("[]"))
        assert 1 <= int(port) <= 65535
        assert not ip.is_multicast
        assert not ip.is_unspecified
        assert str(ip) != "255.255.255.255"
        assert loopback or not ip.is_loopback
        assert not (ip.version == 6 and ip.is_link_local) or host.endswith("%eth0]")


@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_refused_as_a_text(data: bytes) -> None:
    try:
        values = records.text_values(data)
    except AnnouncementError:
        return
    assert len(data) <= policy.MDNS_TEXT_LARGEST
    assert all(len(value) <= policy.MDNS_VALUE_LONGEST for value in values.values())


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused_as_an_instance(name: str) -> None:
    try:
        hardware_id = records.hardware_id_of(name)
    except AnnouncementError:
        return
    assert name.upper() == f"UCM-{hardware_id}"


def test_a_gateway_is_believed() -> None:
    announcement = replace(GOOD, instance="Enapter-GW", host="enapter-gateway.local.", text=b"")
    assert records.gateway(announcement, loopback=False) == GatewaySighting(
        "Enapter-GW", "enapter-gateway.local", 80, ("192.0.2.7",)
    )


@given(ANNOUNCEMENTS)
def test_a_gateway_that_is_believed_can_be_printed(announcement: Announcement) -> None:
    try:
        gateway = records.gateway(announcement, loopback=False)
    except AnnouncementError:
        return
    assert gateway.name.isprintable()
    assert gateway.host.isascii()
    assert gateway.host.isprintable()
    assert all(ipaddress.ip_address(address) for address in gateway.addresses)
