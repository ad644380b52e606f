"""Can this box hear modules that announce themselves on the LAN?

A question of mDNS that is sent to the group comes back to whoever listens on the same machine, through the same
firewall as everybody else's. So what does not come back would not have come in.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

from ucm_provision.discovery import interfaces
from ucm_provision.discovery.interfaces import Address
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.finding import Finding, ok, problem, skipped, warn

_CHECK = "mdns"
_PORT, _GROUP_V4, _GROUP_V6 = 5353, "224.0.0.251", "ff02::fb"
_PATIENCE = 0.5
# From <linux/in.h> and <linux/in6.h>: without it a socket also gets what others have joined the group for elsewhere.
_IP_MULTICAST_ALL, _IPV6_MULTICAST_ALL = 49, 29
# Containers and virtual machines have many more.
_INTERFACES = 16


class Heard(Enum):
    ITSELF = auto()
    NOTHING = auto()  # a firewall keeps it from coming in
    NOT_SENT = auto()  # a firewall keeps it from going out
    PORT_TAKEN = auto()  # by a program that does not share it


@dataclass(frozen=True, slots=True)
class Trial:
    interface: str
    heard: Heard


def check(box: Box) -> Iterator[Finding]:
    lan = box.settings.values.lan
    if not lan.mdns:
        yield ok(_CHECK, "Modules on the LAN are not looked for (lan.mdns = false).")
        return
    try:
        found = interfaces.look(interfaces.normal(lan.interfaces))
    except (OSError, ValueError) as error:
        yield skipped(_CHECK, f"The kernel does not tell which interfaces there are: {error}.")
        return
    yield from judge([attempt(address) for address in one_each(found.addresses)], lan.interfaces, firewall(box))


def one_each(addresses: tuple[Address, ...]) -> list[Address]:
    """The first address of each interface; IPv4, where it has both."""
    by_interface: dict[int, Address] = {}
    for address in sorted(addresses, key=lambda address: address.ip.version):
        by_interface.setdefault(address.index, address)
    return list(by_interface.values())[:_INTERFACES]


def question() -> bytes:
    """RFC 1035's form of: who offers _ucm-prov._tcp.local? Whoever hears it may answer, as to the daemon."""
    labels = b"".join(bytes([len(label)]) + label for label in (b"_ucm-prov", b"_tcp", b"local"))
    return struct.pack("!6H", 0, 0, 1, 0, 0, 0) + labels + struct.pack("!B2H", 0, 12, 1)


def attempt(address: Address) -> Trial:
    """Joins the group on the interface, sends a question to it and waits until it is heard."""
    try:
        with _joined(address) as member:
            try:
                member.sendto(question(), _group(address))
            except PermissionError:
                return Trial(address.interface, Heard.NOT_SENT)
            return Trial(address.interface, Heard.ITSELF if _hears(member) else Heard.NOTHING)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        return Trial(address.interface, Heard.PORT_TAKEN if taken else Heard.NOT_SENT)


def _joined(address: Address) -> socket.socket:
    """A socket on mDNS's port, shared with every other responder on the machine."""
    v4 = address.ip.version == 4
    member = socket.socket(socket.AF_INET if v4 else socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if v4:
            _join_v4(member, str(address.ip))
        else:
            _join_v6(member, address.index)
    except BaseException:
        member.close()
        raise
    return member


def _join_v4(member: socket.socket, ip: str) -> None:
    member.bind(("", _PORT))
    member.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
    membership = socket.inet_aton(_GROUP_V4) + socket.inet_aton(ip)
    member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    member.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(ip))
    member.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)


def _join_v6(member: socket.socket, index: int) -> None:
    member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    member.bind(("", _PORT))
    member.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
    membership = socket.inet_pton(socket.AF_INET6, _GROUP_V6) + struct.pack("@I", index)
    member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
    member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)


def _group(address: Address) -> tuple[str, int] | tuple[str, int, int, int]:
    return (_GROUP_V4, _PORT) if address.ip.version == 4 else (_GROUP_V6, _PORT, 0, address.index)


def _hears(member: socket.socket) -> bool:
    """Whether anything comes in: what others say proves as much."""
    member.settimeout(_PATIENCE)
    with suppress(TimeoutError):
        return bool(member.recv(9000))
    return False


def firewall(box: Box) -> str:
    """The command that opens mDNS's port in the firewall that runs here; empty where none is known to."""
    if box.runs("firewalld"):
        return "sudo firewall-cmd --permanent --add-service=mdns && sudo firewall-cmd --reload"
    if _setting(box, "/etc/ufw/ufw.conf", "ENABLED=yes"):
        return "sudo ufw allow 5353/udp"
    return ""


def _setting(box: Box, file: str, line: str) -> bool:
    try:
        return line in box.file(file).read_text(errors="replace").splitlines()
    except OSError:
        return False


def judge(trials: list[Trial], wanted: list[str], opens: str) -> Iterator[Finding]:
    """
    Args:
        wanted: The addresses that ``lan.interfaces`` names.
        opens: The command that opens the firewall, if it is known.
    """
    heard = [trial.interface for trial in trials if trial.heard is Heard.ITSELF]
    if heard:
        yield ok(_CHECK, f"Modules on the LAN can be heard on {', '.join(heard)}.")
    elif not trials:
        yield _nowhere(wanted)
    for trial in trials:
        if trial.heard is not Heard.ITSELF:
            yield _deaf(trial, opens)


def _nowhere(wanted: list[str]) -> Finding:
    if wanted:
        return problem(
            _CHECK,
            f"lan.interfaces names {', '.join(wanted)}, which is no address of an interface that is up.",
            "What there is: ip -brief address",
        )
    return warn(_CHECK, "No interface is up that modules on the LAN could be heard on.", "See: ip -brief address")


def _deaf(trial: Trial, opens: str) -> Finding:
    where = f"Modules on the LAN cannot be heard on {trial.interface}"
    if trial.heard is Heard.PORT_TAKEN:
        return problem(
            _CHECK,
            f"{where}: another program has UDP port 5353 to itself.",
            "avahi and systemd-resolved share it; find out who does not.",
            mend="sudo ss -ulpn 'sport = :5353'",
        )
    way = "in" if trial.heard is Heard.NOTHING else "out"
    hint = "" if opens else f"Let UDP port 5353 {way} on that interface; sudo nft list ruleset shows what is filtered."
    return problem(
        _CHECK, f"{where}: a firewall does not let mDNS (UDP port 5353) {way}.", *filter(None, [hint]), mend=opens
    )
