"""Listening sockets, bound before anything else so that a port in use is told at once and port 0 is known."""

import os
import socket

from ucm_site_api.errors import SiteStartError
from ucm_site_api.settings import Address

# After a power cut every module of a site connects within the same second.
_BACKLOG = 512


def bind(address: Address, purpose: str) -> socket.socket:
    """A TCP socket bound to `address`.

    Raises:
        SiteStartError: in use, not an address of this machine, or not allowed.
    """
    host, port = address
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as cause:
        raise _refusal(address, purpose, cause) from cause
    try:
        # Without it a restart would wait a minute for the connections of the server before.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(target)
        # At once: two servers may both be bound to a port, and only the second to listen is refused.
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError as cause:
        listening.close()
        raise _refusal(address, purpose, cause) from cause
    return listening


def port_of(listening: socket.socket) -> int:
    """The port that a socket was bound to."""
    port: int = listening.getsockname()[1]
    return port


def local_host(host: str) -> str:
    """How a client on this machine reaches a listener on `host`."""
    return "127.0.0.1" if host in {"", "0.0.0.0", "::"} else host


def _refusal(address: Address, purpose: str, cause: OSError) -> SiteStartError:
    reason = os.strerror(cause.errno) if cause.errno and cause.errno > 0 else str(cause)
    return SiteStartError(f"Cannot listen on {address[0]}:{address[1]} for {purpose}: {reason}.")
