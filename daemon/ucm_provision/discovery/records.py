"""What an mDNS announcement has to look like to be believed. Anybody on the LAN may have written it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ucm_provision.core import policy
from ucm_provision.core.model import Carrier, Endpoint, GatewaySighting, Sighting, parse_hardware_id

MODULES = "_ucm-prov._tcp.local."
GATEWAYS = "_enapter-gw-http._tcp.local."

_PREFIX = "ucm-"
_HOST = re.compile(r"[0-9A-Za-z_-]{1,63}(\.[0-9A-Za-z_-]{1,63})*")
_HOST_LONGEST = 253
_LABEL_LONGEST = 63
_STATES = frozenset({"new", "trial", "active"})
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")


class AnnouncementError(ValueError):
    """An announcement that is not believed; the text says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address record. ``zone`` names the interface that it came in on, where that is known."""

    packed: bytes
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Announcement:
    """An instance's records as they came. ``instance`` is its name without the service."""

    instance: str
    host: str
    port: int
    text: bytes
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Module:
    """A module that is announced, and where it may be reached. ``state`` as in Sighting."""

    hardware_id: str
    routes: tuple[str, ...]
    state: str = ""

    @property
    def key(self) -> str:
        return f"lan:{self.hardware_id}"

    def sighting(self, *, present: bool) -> Sighting:
        endpoint = Endpoint(Carrier.HTTP, f"{_PREFIX}{self.hardware_id}", self.key, self.routes)
        return Sighting(endpoint, present, self.hardware_id, self.state)


def instance_of_key(key: str) -> str:
    """The full name in lower case that a module with that endpoint key announces itself under."""
    return f"{_PREFIX}{key.removeprefix('lan:')}.{MODULES}".lower()


def hardware_id_of(instance: str) -> str:
    """The hardware id in an instance name, in normal form.

    Raises:
        AnnouncementError: the name is not ``ucm-`` and a hardware id.
    """
    prefix, text = instance[: len(_PREFIX)], instance[len(_PREFIX) :]
    # Letters of other scripts may turn into ASCII ones when they change their case.
    if prefix.lower() != _PREFIX or not text.isascii() or not text.isalnum():
        raise AnnouncementError("the name is not ucm- and a hardware id")
    return _parsed_id(text)


def _parsed_id(text: str) -> str:
    try:
        return parse_hardware_id(text)
    except ValueError as error:
        raise AnnouncementError(str(error)) from None


def text_values(text: bytes) -> dict[str, str]:
    """The pairs of a TXT record, names in lower case; the first of a name counts (RFC 6763, section 6.4).

    Raises:
        AnnouncementError: it is too large, a value is too long, or it is no text.
    """
    if len(text) > policy.MDNS_TEXT_LARGEST:
        raise AnnouncementError("the text is too large")
    values: dict[str, str] = {}
    for string in _strings(text):
        name, _, value = string.partition(b"=")
        if len(value) > policy.MDNS_VALUE_LONGEST or not string.isascii():
            raise AnnouncementError("a value of the text is too long or no ASCII")
        values.setdefault(name.decode("ascii").lower(), value.decode("ascii"))
    return values


def _strings(text: bytes) -> Iterable[bytes]:
    while text:
        length = text[0]
        if length >= len(text):
            raise AnnouncementError("the text is cut off")
        yield text[1 : 1 + length]
        text = text[1 + length :]


def module(announcement: Announcement, *, loopback: bool) -> Module:
    """The module that is announced.

    Args:
        announcement: The records.
        loopback: Whether addresses of this machine itself are believed.

    Raises:
        AnnouncementError: the records are not what the device link's specification says (3.3).
    """
    hardware_id = hardware_id_of(announcement.instance)
    values = text_values(announcement.text)
    if values.get("v") != "1":
        raise AnnouncementError("the version is not 1")
    if _parsed_id(values.get("id", "")) != hardware_id:
        raise AnnouncementError("the hardware ids in name and text differ")
    port, state = _port(announcement.port), values.get("state", "")
    routes = tuple(f"{host}:{port}" for host in _hosts(announcement.addresses, loopback))
    return Module(hardware_id, routes, state if state in _STATES else "")


def gateway(announcement: Announcement, *, loopback: bool) -> GatewaySighting:
    """The Gateway that is announced.

    Raises:
        AnnouncementError: a name is not printable or too long, or no address can be used.
    """
    name, host = announcement.instance, announcement.host.removesuffix(".")
    if not name.isprintable() or not 0 < len(name.encode(errors="replace")) <= _LABEL_LONGEST:
        raise AnnouncementError("the name is no printable label")
    if len(host) > _HOST_LONGEST or not _HOST.fullmatch(host):
        raise AnnouncementError("the host name is none")
    hosts = _hosts(announcement.addresses, loopback)
    return GatewaySighting(name, host, _port(announcement.port), tuple(each.strip("[]") for each in hosts))


def _port(port: int) -> int:
    if not 1 <= port <= 65535:
        raise AnnouncementError("the port is none")
    return port


def _hosts(addresses: Iterable[Address], loopback: bool) -> list[str]:
    """Addresses as they stand in a URL: IPv4 before global IPv6 before link-local IPv6, bounded in number."""
    ranked = sorted({host for address in addresses if (host := _host(address, loopback))})
    if not ranked:
        raise AnnouncementError("no address can be used")
    return [host for _, _, host in ranked[: policy.MDNS_ROUTES]]


def _host(address: Address, loopback: bool) -> tuple[int, bytes, str] | None:
    ip = ipaddress.ip_address(address.packed)
    if not _is_unicast(ip, loopback):
        return None
    if ip.version == 4:
        return 0, ip.packed, str(ip)
    if not ip.is_link_local:
        return 1, ip.packed, f"[{ip}]"
    # Without its zone a link-local address leads nowhere.
    return (2, ip.packed, f"[{ip}%{address.zone}]") if address.zone else None


def _is_unicast(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, loopback: bool) -> bool:
    """Whether somebody may listen there. ``is_reserved`` has broadcast, and the mapped forms of IPv4, in it."""
    if ip.is_loopback:
        return loopback
    if ip.version == 4 and ip in _THIS_NETWORK:
        return False
    return not (ip.is_multicast or ip.is_unspecified or ip.is_reserved)
