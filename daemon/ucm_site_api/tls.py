"""TLS. The broker's: a client certificate of the site's own authority, or no connection. The HTTP API's: none."""

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Awaitable, Callable
from pathlib import Path
from socket import socket

import structlog

log = structlog.get_logger(__name__)

_HANDSHAKE_SECONDS = 10
_GOODBYE_SECONDS = 2

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def server_context(certificate_file: Path, authority: str) -> ssl.SSLContext:
    """TLS 1.2 and later; a client without a certificate of this authority is refused.

    Args:
        certificate_file: the broker's key and certificate, PEM, in one file.
        authority: the only trust anchor, PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate_file)
    context.load_verify_locations(cadata=authority)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def api_context(certificate_file: Path, key_file: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 and later for clients that bear a token.

    Raises:
        OSError: the files cannot be read, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate_file, key_file)
    return context


async def start_tls_server(connected: Connected, listening: socket, context: ssl.SSLContext) -> asyncio.Server:
    """Like `asyncio.start_server`, but a client that is refused is told why."""
    loop = asyncio.get_running_loop()

    def protocol() -> SSLProtocol:
        streams = asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), connected, loop=loop)
        return _TellingProtocol(
            loop,
            streams,
            context,
            None,  # type: ignore[arg-type]  # nobody waits for this handshake; None is the default of its callers
            server_side=True,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=_GOODBYE_SECONDS,
        )

    return await loop.create_server(protocol, sock=listening)


class _TellingProtocol(SSLProtocol):
    """asyncio drops the alert of a failed handshake: a module could not tell a refusal from a bad line."""

    def _on_handshake_complete(self, handshake_exc: BaseException | None) -> None:
        if handshake_exc is not None:
            log.warning("mqtt client refused in the TLS handshake", reason=str(handshake_exc), address=self._address())
            self._process_outgoing()  # type: ignore[attr-defined]  # the stubs describe Python 3.10
        super()._on_handshake_complete(handshake_exc)

    def _address(self) -> str:
        peer = self._transport.get_extra_info("peername") if self._transport else None
        return str(peer[0]) if peer else "gone"
