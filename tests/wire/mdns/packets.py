"""mDNS answers byte by byte, for what no well-behaved library would send."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

MODULES = "_ucm-prov._tcp.local"
GATEWAYS = "_enapter-gw-http._tcp.local"
_PTR, _A, _TXT, _AAAA, _SRV = 12, 1, 16, 28, 33
_IN, _FLUSH = 1, 0x8000
_ANSWER = 0x8400
# No two datagrams are the same: python-zeroconf drops what it has just had.
_numbers = itertools.cycle(range(1, 65536))


def _labels(*labels: str) -> bytes:
    return b"".join(bytes([len(label.encode())]) + label.encode() for label in labels) + b"\0"


def name(dotted: str) -> bytes:
    return _labels(*dotted.split("."))


def full(instance: str, service: str = MODULES) -> bytes:
    """The instance is one label, whatever stands in it."""
    return _labels(instance, *service.split("."))


def _record(owner: bytes, kind: int, data: bytes, ttl: int, flush: int = _FLUSH) -> bytes:
    return owner + struct.pack("!HHIH", kind, _IN | flush, ttl, len(data)) + data


def ptr(instance: str, service: str = MODULES, *, ttl: int = 4500, flush: bool = False) -> bytes:
    return _record(name(service), _PTR, full(instance, service), ttl, _FLUSH if flush else 0)


def srv(instance: str, host: str, port: int = 80, service: str = MODULES, *, ttl: int = 120) -> bytes:
    return _record(full(instance, service), _SRV, struct.pack("!HHH", 0, 0, port) + name(host), ttl)


def txt(instance: str, strings: Sequence[bytes], service: str = MODULES, *, ttl: int = 4500) -> bytes:
    return _record(full(instance, service), _TXT, b"".join(bytes([len(s)]) + s for s in strings), ttl)


def address(host: str, ip: str, *, ttl: int = 120) -> bytes:
    family, kind = (socket.AF_INET6, _AAAA) if ":" in ip else (socket.AF_INET, _A)
    return _record(name(host), kind, socket.inet_pton(family, ip), ttl)


def answer(*records: bytes) -> bytes:
    return struct.pack("!HHHHHH", next(_numbers), _ANSWER, 0, len(records), 0, 0) + b"".join(records)


def module(hardware_id: str, ip: str = "192.0.2.7", *, port: int = 80, ttl: int = 120) -> bytes:
    """A whole, honest announcement."""
    instance, host = f"ucm-{hardware_id}", f"{hardware_id.lower()}.local"
    strings = [b"v=1", b"id=" + hardware_id.encode()]
    return answer(
        ptr(instance, ttl=ttl and 4500),
        srv(instance, host, port, ttl=ttl),
        txt(instance, strings, ttl=ttl and 4500),
        address(host, ip, ttl=ttl),
    )


@contextmanager
def sender(interface: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Connected to the group. Its port is another than 5353, as any program's may be."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
        out.bind((interface, 0))
        out.connect(("224.0.0.251", 5353))
        yield out
