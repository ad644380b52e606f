"""Where the page is served, and how a browser is invited there."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from ucm_provision.control.peer import actor
from ucm_provision.control.routes import json_answer
from ucm_provision.control.sessions import PageSessions
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.wire import PageInvitation

# This box's addresses on its networks.
Addresses = Callable[[], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Place:
    """A listening socket of the page. ``private``: over TLS, with a sign-in for reading too."""

    address: str
    port: int
    private: bool

    @classmethod
    def of(cls, listener: socket.socket) -> Place:
        """Only what stays on this box is ever served without TLS, whoever opened the socket."""
        address, port = listener.getsockname()[:2]
        return cls(address, port, private=not ipaddress.ip_address(address.partition("%")[0]).is_loopback)

    def urls(self, addresses: Addresses) -> list[str]:
        """The one for a phone first, where there is one."""
        reached = addresses() if ipaddress.ip_address(self.address).is_unspecified else [self.address]
        scheme = "https" if self.private else "http"
        return [f"{scheme}://{_in_url(each)}:{self.port}/" for each in reached]


class InvitationRoutes:
    """On the control socket only: whoever may open that, may let a browser in.

    ``fingerprint``: of the certificate that the daemon made itself, if it did.
    """

    def __init__(
        self, sessions: PageSessions, places: Sequence[Place], addresses: Addresses, fingerprint: str | None
    ) -> None:
        self._sessions = sessions
        self._places = sorted(places, key=lambda place: not place.private)
        self._addresses = addresses
        self._fingerprint = fingerprint

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/v1/page/login", self._invite)

    async def _invite(self, request: web.Request) -> web.Response:
        urls = [url for place in self._places for url in place.urls(self._addresses)]
        if not urls:
            raise UcmError(Code.PAGE_OFF)
        token = self._sessions.invite(actor(request)).reveal()
        invitation = PageInvitation(
            # After the #: a browser keeps that to itself, and no server's log ever has it.
            urls=[f"{url}#sign-in={token}" for url in urls],
            seconds=int(policy.SIGN_IN_LIFETIME),
            fingerprint=self._fingerprint,
        )
        return json_answer(invitation)


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
