"""The machine's addresses that mDNS is spoken on, and word of when they change."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import ipaddress
import socket
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import ifaddr
import structlog

from ucm_provision.core import policy

log = structlog.get_logger()

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_GROUP_V4 = socket.inet_aton("224.0.0.251")
_GROUP_V6 = socket.inet_pton(socket.AF_INET6, "ff02::fb")
# From <linux/sockios.h> and <linux/if.h>, <linux/rtnetlink.h>: RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR.
_SIOCGIFFLAGS, _IFF_UP, _IFF_RUNNING = 0x8913, 0x1, 0x40
_GROUPS = 0x1 | 0x10 | 0x100


@dataclass(frozen=True, slots=True)
class Address:
    """An address of this machine, and the network that is on the same link."""

    interface: str
    index: int
    ip: IpAddress
    network: ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Network:
    """What there is to look at. False when that is nothing."""

    addresses: tuple[Address, ...]

    def __bool__(self) -> bool:
        return bool(self.addresses)

    @property
    def has_loopback(self) -> bool:
        return any(address.ip.is_loopback for address in self.addresses)

    def choice(self) -> list[str | int]:
        """One address for each interface and family, as python-zeroconf takes them.

        Two interfaces may have the same link-local address. It stands for one of them only, so the
        number of the interface is given then.
        """
        spoken = {(address.index, address.ip.version): address for address in reversed(self.addresses)}
        times: Counter[IpAddress] = Counter(address.ip for address in self.addresses if address.ip.version == 6)
        return [one.index if times[one.ip] > 1 else str(one.ip) for one in reversed(spoken.values())]

    def zone(self, index: int) -> str | None:
        """The name of the interface with that number, None for one that is not looked at."""
        return next((address.interface for address in self.addresses if address.index == index), None)

    def is_on_link(self, source: str, index: int | None) -> bool:
        """Whether a datagram from ``source`` is a neighbour's.

        Anybody on the internet may send to port 5353; RFC 6762, section 11 has such answers ignored.
        It also keeps out what the kernel hands us because others have joined the group elsewhere.
        """
        try:
            ip = _unmapped(ipaddress.ip_address(source.partition("%")[0]))
        except ValueError:
            return False
        if ip.is_link_local and ip.version == 6:
            return self.zone(index or 0) is not None
        return any(ip in address.network for address in self.addresses)


def _unmapped(ip: IpAddress) -> IpAddress:
    """A socket for both families shows IPv4 addresses as ``::ffff:…``."""
    return getattr(ip, "ipv4_mapped", None) or ip


def normal(addresses: Sequence[str]) -> frozenset[str]:
    """Configured addresses in the form that :func:`look` compares.

    Raises:
        ValueError: one of them is no IP address.
    """
    return frozenset(str(ipaddress.ip_address(address)) for address in addresses)


def look(wanted: frozenset[str]) -> Network:
    """The addresses that are up and take part in multicast, of ``wanted`` or, if empty, all but loopback ones.

    Takes a millisecond or two.

    Raises:
        OSError: the process may not ask the kernel.
    """
    found = [address for adapter in ifaddr.get_adapters() for address in _addresses(adapter)]
    chosen = [address for address in found if _is_chosen(address, wanted)]
    chosen.sort(key=_order)
    return Network(tuple(filter(_is_usable, chosen[: policy.MDNS_ADDRESSES])))


def _order(address: Address) -> tuple[int, int, bool]:
    """The kernel's order, but that IPv6 speaks mDNS from the link-local address, which stays."""
    version = address.ip.version
    return address.index, version, version == 6 and not address.ip.is_link_local


def _is_chosen(address: Address, wanted: frozenset[str]) -> bool:
    if not wanted:
        return not address.ip.is_loopback
    return not wanted.isdisjoint((str(address.ip), f"{address.ip}%{address.interface}"))


def _addresses(adapter: ifaddr.Adapter) -> Iterator[Address]:
    for one in adapter.ips:
        text = one.ip[0] if isinstance(one.ip, tuple) else one.ip
        ip = ipaddress.ip_address(text.partition("%")[0])
        network = ipaddress.ip_network(f"{ip}/{one.network_prefix}", strict=False)
        yield Address(adapter.name, adapter.index or 0, ip, network)


def _is_usable(address: Address) -> bool:
    """Tried, because the kernel's list does not tell: an interface may be down or without a carrier, and a
    new IPv6 address cannot be bound until nobody else has turned out to have it."""
    try:
        if not _is_running(address.interface):
            return False
        if address.ip.version == 4:
            _try_v4(str(address.ip))
        else:
            _try_v6(str(address.ip), address.index)
    except OSError:
        return False
    return True


def _is_running(interface: str) -> bool:
    request = struct.pack("16sh14x", interface.partition(":")[0].encode(), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        _, flags = struct.unpack_from("16sH", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))
    return bool(flags & _IFF_UP and flags & _IFF_RUNNING)


def _try_v4(ip: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _GROUP_V4 + socket.inet_aton(ip))
        probe.bind((ip, 0))


def _try_v6(ip: str, index: int) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, _GROUP_V6 + struct.pack("@I", index))
        probe.bind((ip, 0, 0, index))


class AddressNews:
    """Word that the machine's addresses may have changed. What there is, :func:`look` tells."""

    def __init__(self, listener: socket.socket | None) -> None:
        self._listener = listener

    async def stirred(self, seconds: float) -> None:
        """Until there is news, or for ``seconds``: where there is no listener that is all there is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news()

    async def _news(self) -> None:
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        if self._listener is None:
            await news.wait()
            return
        loop.add_reader(self._listener.fileno(), news.set)
        try:
            await news.wait()
        finally:
            loop.remove_reader(self._listener.fileno())
        self._drain(self._listener)

    def _drain(self, listener: socket.socket) -> None:
        """Takes all news at once: one look is enough for them. ENOBUFS only says that there was more."""
        with contextlib.suppress(OSError):
            while listener.recv(65536):
                pass


@contextlib.contextmanager
def listening() -> Iterator[AddressNews]:
    """Listens to the kernel from now on; where that is forbidden, nothing stirs but the time."""
    with contextlib.ExitStack() as stack:
        try:
            listener = stack.enter_context(
                socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
            )
            listener.bind((0, _GROUPS))
        except OSError as error:
            log.info("the kernel does not tell when addresses change: looked at now and then", why=str(error))
            yield AddressNews(None)
            return
        yield AddressNews(listener)
