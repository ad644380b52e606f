"""Names, TCP and TLS toward the broker, with every failure turned into one of the link's reasons."""

import asyncio
import os
import socket
import ssl
from datetime import UTC, datetime
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from ucm_sim.link_state import ConnectError
from ucm_sim.messages import ucm_link_pb2 as pb

Stream: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

# Real seconds: the network is real even where the module's time is not.
_TCP_DEADLINE_S = 5.0
_TLS_DEADLINE_S = 10.0

# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_VALIDITY_ERRORS = (9, 10)


async def resolve(host: str, port: int) -> list[tuple[str, int]]:
    """Addresses of a host in order of preference; raises ConnectError(DNS_FAILED)."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as failure:
        raise ConnectError(pb.DNS_FAILED, f"{host} does not resolve") from failure
    return [(str(address[0]), int(address[1])) for *_, address in found]


async def open_plain(host: str, port: int) -> Stream:
    """Connect without TLS; raises ConnectError."""
    return await asyncio.open_connection(sock=await _connect(host, port))


async def open_tls(host: str, port: int, context: ssl.SSLContext, now_ms: int) -> Stream:
    """Connect with TLS; raises ConnectError.

    The server's certificate must be valid at `now_ms` too: Unix milliseconds by the module's clock.
    """
    connected = await _connect(host, port)
    try:
        reader, writer = await asyncio.open_connection(
            sock=connected, ssl=context, server_hostname=host, ssl_handshake_timeout=_TLS_DEADLINE_S
        )
    except ssl.SSLCertVerificationError as failure:
        expired = failure.verify_code in _VALIDITY_ERRORS
        raise ConnectError(pb.TLS_EXPIRED if expired else pb.TLS_UNTRUSTED, failure.verify_message) from failure
    except OSError as failure:
        raise tls_failure(failure) from failure
    try:
        _check_validity(writer.get_extra_info("ssl_object"), now_ms)
    except ConnectError:
        writer.close()
        raise
    return reader, writer


def tls_failure(failure: Exception) -> ConnectError:
    """What a broken TLS stream means as long as the broker has said nothing in it.

    Under TLS 1.3 a refused client certificate shows at the first read: as an alert, or with servers that
    do not get the alert out, as a reset or an end of file.
    """
    if isinstance(failure, ConnectionAbortedError):
        return ConnectError(pb.TCP_TIMEOUT, "the TLS handshake did not end")
    if isinstance(failure, ssl.SSLError):
        return ConnectError(pb.TLS_REJECTED, (failure.reason or "TLS failed").replace("_", " ").lower())
    return ConnectError(pb.TLS_REJECTED, "the broker closed the connection without a word")


async def _connect(host: str, port: int) -> socket.socket:
    failure: OSError | None = None
    for address in await resolve(host, port):
        try:
            async with asyncio.timeout(_TCP_DEADLINE_S):
                return await _connect_to(address)
        except OSError as error:
            failure = error
    if isinstance(failure, ConnectionRefusedError):
        raise ConnectError(pb.TCP_REFUSED, f"{host}:{port} refuses connections")
    # A network that is unreachable looks the same to a module: nobody answers.
    raise ConnectError(pb.TCP_TIMEOUT, f"{host}:{port} does not answer")


async def _connect_to(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    connecting = socket.socket(family, socket.SOCK_STREAM)
    connecting.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connecting, address)
    except BaseException:
        connecting.close()
        raise
    return connecting


def tls_context(credentials: pb.MqttTls) -> ssl.SSLContext:
    """Client certificate and trust of a configuration; raises ConnectError(CONFIG_INVALID).

    The broker's certificate must lead to one of `ca_chain` and to nothing else. Its host name is not
    checked: modules reach their Gateway under changing names and addresses.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # Each certificate of the chain is an anchor of its own, an intermediate one too.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        for anchor in credentials.ca_chain:
            context.load_verify_locations(cadata=anchor)
        _load_client_certificate(context, credentials)
    except (ssl.SSLError, ValueError) as failure:
        raise ConnectError(pb.CONFIG_INVALID, "the TLS credentials cannot be loaded") from failure
    return context


def _load_client_certificate(context: ssl.SSLContext, credentials: pb.MqttTls) -> None:
    # The ssl module reads files only; a file in memory keeps the key off every disk.
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        key = load_der_private_key(credentials.private_key, password=None)
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.write(x509.load_der_x509_certificate(credentials.certificate).public_bytes(Encoding.PEM))
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")


def _check_validity(secured: ssl.SSLObject, now_ms: int) -> None:
    """OpenSSL has judged by the host's clock; the module's own may be elsewhere."""
    der = secured.getpeercert(binary_form=True)
    assert der is not None  # the server's certificate was verified
    certificate = x509.load_der_x509_certificate(der)
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise ConnectError(pb.TLS_EXPIRED, "not valid by the module's clock")
