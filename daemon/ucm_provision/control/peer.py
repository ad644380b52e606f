"""Who asks: at the other end of the control socket, or signed in to the page."""

from __future__ import annotations

import pwd
import socket
import struct

from aiohttp import web

# struct ucred of unix(7): pid, uid, gid.
_UCRED = struct.Struct("3i")
# Who signed in, of a request of the page.
ACTOR = web.RequestKey[str]("actor")


def actor(request: web.Request) -> str:
    """The operator's user name, as the kernel vouches for it; of a page, who signed in there."""
    by: str | None = request.get(ACTOR)
    if by:
        return by
    transport = request.transport
    peer = transport.get_extra_info("socket") if transport else None
    if peer is None:
        return "somebody"
    _, uid, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
