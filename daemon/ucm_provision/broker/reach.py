"""Name, TCP and TLS on the way to a broker, each step by itself, so that each failure has its own name.

All of it on the event loop, where a cancellation takes effect at once: paho-mqtt would block a thread.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from contextlib import suppress
from typing import Final

from ucm_provision.broker.timing import Timing
from ucm_provision.broker.tls import BrokerContext, handshake_failure
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError

_Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]

# Of several addresses' failures the one that says most comes first.
_TELLING: Final = [Code.BROKER_REFUSED, Code.BROKER_TIMEOUT]


async def reach(host: str, port: int, context: BrokerContext | None, timing: Timing) -> str:
    """Connects to the broker and, with ``context``, shakes hands; then closes again.

    Returns:
        The address that answered.

    Raises:
        UcmError: ``broker_dns_failed``, ``broker_refused``, ``broker_timeout``, ``broker_tls_untrusted``,
            ``broker_tls_expired`` or ``broker_tls_rejected``.
    """
    addresses = await _resolve(host, port, timing.connect)
    connection = await _first_to_answer(addresses, timing.connect)
    try:
        address = str(connection.getpeername()[0])
    except OSError:
        connection.close()
        raise UcmError(Code.BROKER_REFUSED, "the connection was closed at once") from None
    if context is None:
        connection.close()
    else:
        await _shake_hands(connection, context, timing)
    return address


async def _resolve(host: str, port: int, deadline: float) -> list[_Address]:
    try:
        async with asyncio.timeout(deadline):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise UcmError(Code.BROKER_DNS_FAILED, f"no name server answered for {host} in {deadline:g} s") from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no host name"
        raise UcmError(Code.BROKER_DNS_FAILED, f"{host}: {reason}") from None
    return [(family, address) for family, _, _, _, address in found[: policy.BROKER_ADDRESSES_TRIED]]


async def _first_to_answer(addresses: list[_Address], deadline: float) -> socket.socket:
    failures: list[UcmError] = []
    for address in addresses:
        try:
            return await _connect(address, deadline / len(addresses))
        except UcmError as failure:
            failures.append(failure)
    raise min(failures, key=lambda failure: _TELLING.index(failure.code))


async def _connect(address: _Address, deadline: float) -> socket.socket:
    family, place = address
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        async with asyncio.timeout(deadline):
            await asyncio.get_running_loop().sock_connect(connection, place)
    except BaseException as error:
        connection.close()
        if isinstance(error, OSError):
            raise connect_failure(error, f"{place[0]!s} port {place[1]!s}", deadline) from None
        raise
    return connection


def connect_failure(error: OSError, where: str, deadline: float) -> UcmError:
    """What a failure to connect by TCP means."""
    if isinstance(error, ConnectionError):
        return UcmError(Code.BROKER_REFUSED, where)
    # The deadline's own TimeoutError has no errno; the kernel's, and "no route to host", have.
    reason = os.strerror(error.errno) if error.errno else f"no answer in {deadline:g} s"
    return UcmError(Code.BROKER_TIMEOUT, f"{where}: {reason}")


async def _shake_hands(connection: socket.socket, context: BrokerContext, timing: Timing) -> None:
    try:
        async with asyncio.timeout(timing.connect):
            reader, writer = await asyncio.open_connection(
                sock=connection, ssl=context, server_hostname=context.server_name
            )
    except TimeoutError:
        raise UcmError(Code.BROKER_TIMEOUT, f"no TLS handshake in {timing.connect:g} s") from None
    except OSError as error:
        raise handshake_failure(error) from None
    try:
        if writer.get_extra_info("ssl_object").version() == "TLSv1.3":
            await _await_refusal(reader, timing.alert)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def _await_refusal(reader: asyncio.StreamReader, patience: float) -> None:
    """Reads before anything is written.

    Under TLS 1.3 the client is done with the handshake before the server has looked at the client's
    certificate: a refusal arrives with the first read, and is lost to whoever writes first.
    """
    try:
        async with asyncio.timeout(patience):
            closed = not await reader.read(1)
    except TimeoutError:
        return
    except ConnectionError:
        closed = True
    except ssl.SSLError as error:
        raise handshake_failure(error) from None
    if closed:
        raise UcmError(Code.BROKER_TLS_REJECTED, "the connection was closed in answer to the certificate")
