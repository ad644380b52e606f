"""Who may ask what of the page: nobody from elsewhere, and nobody for a change who has not signed in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from aiohttp import web

from ucm_provision.control.events import WELCOME
from ucm_provision.control.peer import ACTOR
from ucm_provision.control.sessions import PageSession, PageSessions
from ucm_provision.core.errors import Code, UcmError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Names of this box itself that no name server gives out.
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
# What our own page sends with every change. No form can, and no page from elsewhere may without being asked first.
PAGE_HEADER = "X-UCM-Page"
_READING = frozenset({"GET", "HEAD"})
# "none": typed into the address bar.
_FROM_HERE = frozenset({"same-origin", "none"})
# What a browser asks to find out who it is, and to become somebody.
_DOORS = frozenset({"/v1/page", "/v1/page/sign-in"})


class Guard:
    """Stands before everything that is served over TCP.

    Args:
        names: Under which names, and addresses, browsers reach this box; the one that a connection came to always
            counts. A page from elsewhere that made its own name lead here (DNS rebinding) comes with that name.
        files: The places of the page's own files, which everybody may have: they are the same everywhere.
        private: On the LAN: over TLS, and reading needs a sign-in, too.
    """

    def __init__(
        self, sessions: PageSessions, names: Collection[str], files: Collection[str], *, private: bool
    ) -> None:
        self._sessions = sessions
        self._files = frozenset(files)
        self._names = frozenset(name.lower() for name in names)
        self._private = private
        self._scheme = "https" if private else "http"
        # The prefix has browsers demand Secure and Path=/ of the cookie; without TLS they would not store it.
        self.cookie = "__Host-ucm-page" if private else "ucm-page"

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._demand_our_page(request)
        session = self.session(request)
        if session:
            request[ACTOR] = session.actor
        if request.method not in _READING:
            _demand_intent(request)
        if session is None and self._is_for_members(request):
            raise UcmError(Code.SIGN_IN_NEEDED)
        if self._private:
            request[WELCOME] = lambda: self.session(request) is not None
        return await handler(request)

    def session(self, request: web.Request) -> PageSession | None:
        return self._sessions.find(request.cookies.get(self.cookie, ""))

    def _is_for_members(self, request: web.Request) -> bool:
        if request.path in _DOORS:
            return False
        return request.method not in _READING or (self._private and request.path not in self._files)

    def _demand_our_page(self, request: web.Request) -> None:
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        site = request.headers.get("Sec-Fetch-Site", "none")
        foreign = request.path not in self._files and site not in _FROM_HERE
        if not self._is_ours(request, host) or origin not in (None, f"{self._scheme}://{host}") or foreign:
            raise UcmError(Code.ORIGIN_REFUSED)

    def _is_ours(self, request: web.Request, host: str) -> bool:
        name = _without_port(host).lower()
        return name in self._names or name == _address_asked(request)


def _demand_intent(request: web.Request) -> None:
    """A change comes from a script of our own page, and a browser says so."""
    named = "Origin" in request.headers or request.headers.get("Sec-Fetch-Site") == "same-origin"
    if not named or request.headers.get(PAGE_HEADER) != "1":
        raise UcmError(Code.ORIGIN_REFUSED)


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if name and port.isdecimal() else host


def _address_asked(request: web.Request) -> str:
    """The address of this box that the connection came to, as a URL has it."""
    where = request.transport.get_extra_info("sockname") if request.transport else None
    if not isinstance(where, tuple):
        return ""
    address = str(where[0]).removeprefix("::ffff:").partition("%")[0]
    return f"[{address}]" if ":" in address else address
