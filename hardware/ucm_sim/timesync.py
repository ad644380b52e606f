"""Asks a time source what time it is: SNTP (RFC 4330) or the Date header of an HTTP answer."""

import asyncio
import struct
import time
from email.utils import parsedate_to_datetime

from ucm_sim.link_state import ConnectError
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.network import open_plain, resolve

_DEADLINE_S = 6.0  # real seconds, longer than the wait for a connection
_NTP_TO_UNIX_S = 2_208_988_800  # from 1900 to 1970
_NTP_PACKET = struct.Struct(">BBbb11I")
_CLIENT_VERSION_4 = 0x23
_SERVER_MODE = 4


async def ask(source: pb.TimeSync) -> int:
    """Return the source's time in Unix milliseconds.

    Raises ConnectError: DNS_FAILED, TCP_REFUSED, TCP_TIMEOUT (HTTP only), TIME_TIMEOUT.
    """
    query = _ask_http if source.protocol == pb.TimeSync.HTTP else _ask_ntp
    try:
        async with asyncio.timeout(_DEADLINE_S):
            return await query(source)
    except (OSError, EOFError, ValueError) as failure:
        detail = f"{source.host}:{source.port} gives no time"
        raise ConnectError(pb.TIME_TIMEOUT, detail) from failure


async def _ask_http(source: pb.TimeSync) -> int:
    reader, writer = await open_plain(source.host, source.port)
    try:
        request = f"HEAD / HTTP/1.1\r\nHost: {source.host}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as failure:
        raise ValueError("the answer has no end of its head") from failure
    finally:
        writer.close()
    return _date_of(head)


def _date_of(head: bytes) -> int:
    """The Date header in Unix milliseconds; raises ValueError. The status does not matter."""
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.strip().lower() == "date":
            # The header cuts the fraction off: the middle of its second is the better guess.
            return round(parsedate_to_datetime(value.strip()).timestamp() * 1000) + 500
    raise ValueError("no Date header")


class _Answer(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _addr: object) -> None:
        if not self.received.done():
            self.received.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.received.done():
            self.received.set_exception(exc)


async def _ask_ntp(source: pb.TimeSync) -> int:
    address = (await resolve(source.host, source.port))[0]
    loop = asyncio.get_running_loop()
    transport, answer = await loop.create_datagram_endpoint(_Answer, remote_addr=address)
    try:
        sent = time.monotonic()
        cookie = time.monotonic_ns() & 0xFFFF_FFFF_FFFF_FFFF
        transport.sendto(_ntp_request(cookie))
        packet = await answer.received
        return _ntp_time(packet, cookie) + round((time.monotonic() - sent) * 500)
    finally:
        transport.close()


def _ntp_request(cookie: int) -> bytes:
    head = bytes([_CLIENT_VERSION_4]) + bytes(39)
    return head + cookie.to_bytes(8, "big")


def _ntp_time(packet: bytes, cookie: int) -> int:
    """The server's transmit time in Unix milliseconds; raises ValueError for what is no good answer."""
    if len(packet) < _NTP_PACKET.size:
        raise ValueError("a truncated NTP packet")
    flags, stratum, _, _, *words = _NTP_PACKET.unpack_from(packet)
    originate = words[5] << 32 | words[6]
    seconds, fraction = words[9], words[10]
    if flags & 7 != _SERVER_MODE or not 1 <= stratum <= 15 or originate != cookie or not seconds:
        raise ValueError("not an answer of a synchronised server to this question")
    return int((seconds - _NTP_TO_UNIX_S) * 1000 + fraction * 1000 // 2**32)
